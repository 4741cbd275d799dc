# orthodx on the CPU: docker build -t orthodx . && docker run --rm -v "$PWD:/data" orthodx segment study --out masks
FROM python:3.11-slim

WORKDIR /opt/orthodx
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY orthodx ./orthodx
# torch's own index has builds without CUDA, which are far smaller; constraints.txt pins the versions
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -c constraints.txt ".[dicom]"

# any user may run it (docker run --user): no home folder is needed
RUN useradd --create-home orthodx
USER orthodx
ENV ORTHODX_KEY=/data/.orthodx-key MPLBACKEND=Agg MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /data
ENTRYPOINT ["orthodx"]
CMD ["--help"]
