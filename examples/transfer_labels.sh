#!/bin/sh
# AUROC on ankle or shoulder by the share of labelled studies, with evidence maps begun from the knee or from noise, and
# what labels alone teach: the tables under "Labels" of docs/transfer.md. Some 250 minutes of one core a joint, its parts added up.
# (These commands were run one by one.)
#
#     sh examples/transfer_labels.sh ankle|shoulder WORK
set -e
joint=$1
case $joint in ankle) s=7 ;; shoulder) s=8 ;; *) echo "usage: $0 ankle|shoulder WORK" >&2 && exit 2 ;; esac
mkdir -p "$2" && cd "$2"
maps="--task diagnose --name maps --steps 1500 --batch 2 --crop 16 80 80 --focus 0.4 --learning-rate 8e-4 --workers 0"
orthodx synth bank --joint "$joint" --bank -n 24 --seed ${s}100
orthodx synth hurt --bank --lesions -n 160 --joint "$joint" --anatomy bank --seed ${s}201 --prevalence 0.85
orthodx synth train --joint "$joint" --lesions -n 240 --seed ${s}121 --anatomy bank \
    --center Harbour --center Meadow --center Northgate --center Outpost
orthodx synth testbank --joint "$joint" --bank -n 12 --seed ${s}150
orthodx synth test --joint "$joint" --lesions -n 200 --seed ${s}151 --anatomy testbank
orthodx finetune hurt $maps --encoders knee-small --encoder-share 0.5 --seed ${s}203 --out maps-knee
orthodx finetune hurt $maps --from-scratch --seed ${s}203 --out maps-scratch
for start in knee scratch; do
    for share in 0.1 0.25 1; do
        for seed in 0 1 2; do
            orthodx finetune train --task diagnose --probe --head anatomy --encoders maps-$start/maps --seed $seed \
                --label-fraction $share --validation test --cache cache-$start --workers 0 --out heads/$start-$share-$seed
        done
    done
done
orthodx transfer train --test test --joint "$joint" --from knee-small --probe --no-scratch --baseline resnet18 \
    --label-fraction 0.1,0.25,1 --seeds 3 --epochs 5 --region 16 96 96 --workers 0 --out alone
mkdir -p result && cp test/labels.csv result/
python - <<'PYTHON'
import pandas as pd

studies = pd.read_csv("test/manifest.csv").drop_duplicates("study_id")
studies[["study_id", "patient_id", "center", "field_strength"]].to_csv("result/studies.csv", index=False)
parts = []
for start, arm in (("knee", "lesion masks, from the knee"), ("scratch", "lesion masks, from scratch")):
    for share in ("0.1", "0.25", "1"):
        for seed in range(3):
            found = pd.read_csv(f"heads/{start}-{share}-{seed}/validation.csv")
            parts.append(found.assign(arm=arm, share=float(share), seed=seed))
for kind, arm in (("transferred", "labels alone, frozen knee encoders"), ("resnet18", "labels alone, ResNet-18")):
    for share in (0.1, 0.25, 1):
        for seed in range(3):
            found = pd.read_csv(f"alone/arms/{kind}-{100 * share:.0f}pc-seed{seed}/predictions.csv")
            parts.append(found.assign(arm=arm, share=share, seed=seed))
pd.concat(parts).to_csv("result/predictions.csv", index=False)
PYTHON
echo "-> $PWD/result  (python examples/benchmarks/label_shares.py FOLDER prints it)"
