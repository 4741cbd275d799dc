#!/bin/sh
# The training record of the diagnosis in knee-small: the commands that made it, in order.
#
#   sh examples/train_knee_small_diagnosis.sh WORK BASE
#
# WORK holds the banks bank/ and val/ of examples/train_knee_small.py. BASE is the folder of knee-small 0.1.0, the model
# before it could diagnose (orthodx/bundles/shipped/knee-small at commit 9a03492). About four hours on two cores.
# The code of the first training was that of commit 3fa4a51, of the second 1680a7e, then 2906d23, 399d954, 8b1ddd4 and,
# for the diagnosis itself, 99403d4.
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

# maps at 0.5 mm on these encoders, left alone; 200 more knees on 40 more anatomies
for seed in 9420 9421; do
    orthodx synth more$seed/ --bank -n 20 --seed $seed
    orthodx synth hurt$((seed + 10))/ --bank --lesions -n 100 --anatomy more$seed/ --seed $((seed + 10)) --prevalence 0.85
done
mkdir -p all encoders
ln -sf "$PWD"/hurt/* "$PWD"/hurt9430/* "$PWD"/hurt9431/* all/
cp maps/maps/encoder_*.safetensors encoders/
orthodx finetune all/ --task diagnose --probe --detail 2 --encoders encoders/ --out closer/ --steps 1800 --batch 4 \
    --crop 16 80 80 --learning-rate 1.5e-3 --seed 51
# then crops on the lesions that were missed
focus="--steps 1200 --batch 16 --crop 8 48 48 --focus 0.8 --focus-label MM --focus-label LM --focus-label LCL"
orthodx finetune all/ --task diagnose --probe --detail 2 --encoders closer/ --out focus/ $focus --learning-rate 1e-3 --seed 71
orthodx finetune all/ --task diagnose --probe --detail 2 --encoders focus/ --out focus2/ $focus --learning-rate 1e-3 --seed 72

# studies of four centers on anatomies that no map has seen: heads, fusion, records, calibration
orthodx synth fresh/ --bank -n 30 --seed 9410
orthodx synth fresh/ --bank -n 30 --seed 9411
for seed in 9451 9452; do
    orthodx synth cohort$seed/ --lesions --anatomy fresh/ -n 120 --seed $seed \
        --center Northgate --center Harbour --center Meadow --center Outpost
done
for table in labels ehr; do
    cp cohort9451/$table.csv $table.csv
    tail -n +2 cohort9452/$table.csv >> $table.csv
done
mkdir -p start2
cp encoders/*.safetensors focus2/evidence.safetensors maps/maps/segment.safetensors start2/
orthodx finetune cohort9451/ cohort9452/ --labels labels.csv --ehr ehr.csv --task diagnose --probe --head anatomy --detail 2 \
    --encoders start2/ --into "$base" --seed 44 --out diagnosis/ --name knee-small
# model.json of the shipped bundle lists these commands as its training record
