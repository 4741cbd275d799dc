#!/bin/sh
# The training record of the diagnosis in knee-small: the commands that made it, in order.
#
#   sh examples/train_knee_small_diagnosis.sh WORK BASE
#
# WORK holds the banks bank/ and val/ of examples/train_knee_small.py. BASE is the folder of knee-small 0.1.0, the model
# before it could diagnose (orthodx/bundles/shipped/knee-small at commit 9a03492). About 100 minutes on two cores.
# The code of the first training was that of commit 3fa4a51, of the second 1680a7e.
set -eu
base=$(realpath "$2")
cd "$1"

# injured knees on the fly: 320 patients on the 64 training anatomies, 24 on the three held out
orthodx synth hurt-val/ --bank --lesions -n 24 --anatomy val/ --seed 32 --prevalence 0.85
orthodx synth hurt/ --bank --lesions -n 320 --anatomy bank/ --seed 31 --prevalence 0.85

# evidence maps on the encoders of knee-small, then encoders, masks and maps together
orthodx finetune hurt/ --task diagnose --probe --encoders "$base" --out evidence/ --steps 2000 --stop-at 1320 \
    --batch 4 --learning-rate 1.5e-3 --seed 41 --validation hurt-val/ --validation-samples 40
mkdir -p start
cp "$base"/*.safetensors start/
cp evidence/evidence.safetensors start/
orthodx finetune hurt/ --task diagnose --encoders start/ --out maps/ --name maps --steps 2000 \
    --batch 2 --learning-rate 8e-4 --encoder-share 0.4 --seed 43 --validation hurt-val/ --validation-samples 40 \
    --validate-every 500

# studies of four centers: heads, fusion, records, calibration
orthodx synth cohort/ --lesions --anatomy bank/ -n 180 --seed 9401 \
    --center Northgate --center Harbour --center Meadow --center Outpost
orthodx finetune cohort/ --task diagnose --probe --encoders maps/maps --into "$base" --ehr cohort/ehr.csv \
    --seed 44 --out diagnosis/ --name knee-small

# the whole record in model.json
python - <<'PY'
import dataclasses
from pathlib import Path

from safetensors.torch import load_file

from orthodx.bundles.bundle import open_bundle, save_bundle

fitted, maps = open_bundle("diagnosis/knee-small"), open_bundle("maps/maps")
*earlier, last = fitted.info.training
commands = [
    {"stage": "synth", "command": "orthodx synth hurt --bank --lesions -n 320 --anatomy bank --seed 31 --prevalence 0.85"},
    {"stage": "finetune", "code": "3fa4a51", "command": (
        "orthodx finetune hurt --task diagnose --probe --encoders knee-small --out evidence --steps 2000 --stop-at 1320"
        " --batch 4 --learning-rate 1.5e-3 --seed 41")},
    {"stage": "finetune", "code": "1680a7e", "settings": maps.info.training[0], "command": (
        "orthodx finetune hurt --task diagnose --encoders start --out maps --steps 2000 --batch 2"
        " --learning-rate 8e-4 --encoder-share 0.4 --seed 43")},
    {"stage": "synth", "command": (
        "orthodx synth cohort --lesions --anatomy bank -n 180 --seed 9401 --center Northgate --center Harbour"
        " --center Meadow --center Outpost")},
]
info = dataclasses.replace(fitted.info, version="0.2.0", training=[*earlier, *commands, last])
files = sorted(Path("diagnosis/knee-small").glob("*.safetensors"))
print("->", save_bundle(Path("knee-small"), info, {f.name: load_file(f) for f in files}).path)
PY
