#!/bin/sh
# The training record of knee-small-pretrained: the commands that made it, one a view, from nothing.
#
#   sh examples/train_knee_small_pretrained.sh WORK
#
# About 95 minutes on two cores with AVX2 (fp32; no bf16 there). Code: commits 37cc3dc (banks), 252938c and 7e8f068 (training).
set -eu
cd "$1"

# 64 procedural anatomies, 192 knees on them, about 70 % injured or worn
orthodx synth knees/ --bank -n 64 --seed 101
orthodx synth hurt/ --bank --lesions -n 192 --anatomy knees/ --prevalence 0.7 --seed 102

orthodx pretrain hurt/ --view sagittal --crop 16 64 64 --batch 8 --steps 1000 --learning-rate 1e-3 \
    --sample-every 500 --seed 71 --out pre_sagittal/
orthodx pretrain hurt/ --view coronal --init pre_sagittal/encoder_sagittal.safetensors --crop 16 64 64 --batch 8 \
    --steps 1000 --learning-rate 1e-3 --sample-every 500 --seed 71 --out pre_coronal/
orthodx pretrain hurt/ --view axial --init pre_sagittal/encoder_sagittal.safetensors --crop 16 64 64 --batch 8 \
    --steps 1000 --learning-rate 1e-3 --sample-every 500 --seed 71 --out pre_axial/

orthodx models pack pre_sagittal/ pre_coronal/ pre_axial/ --out knee-small-pretrained/ --name knee-small-pretrained \
    --licence "CC BY-SA 4.0" --source "orthodx procedural knees"
