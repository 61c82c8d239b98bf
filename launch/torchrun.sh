#!/bin/bash
# A verb of evlora on all GPUs of several machines. The same line is run on each of them:
#     MACHINES=2 GPUS=4 FIRST=node1:29500 bash launch/torchrun.sh train RECIPE data.root=DATA run.dir=RUN
# MACHINES: their number; GPUS: of each; FIRST: a free port of one of them. A training that was
# stopped continues with the same lines. DATA and RUN lie where all machines see them.
set -euo pipefail

machines=${MACHINES:-1} gpus=${GPUS:?expected the number of GPUs of each machine}
first=${FIRST:-localhost:29500}
verb=${1:?expected a verb, such as train, and its words}
keys=("training.nodes=$machines" "training.devices=$gpus")
case $verb in
  train) more=("${keys[@]}" --resume) ;;
  compare) more=("${keys[@]}") ;;
  *) more=() ;; # evaluate, predict, prepare and pack ask the processes themselves
esac
exec torchrun --nnodes="$machines" --nproc-per-node="$gpus" --rdzv-backend=c10d \
  --rdzv-endpoint="$first" --rdzv-id="${ID:-evlora}" -m evlora "$@" "${more[@]}"
