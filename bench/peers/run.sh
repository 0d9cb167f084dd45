#!/bin/sh
# Measures `zerosearch` and its peers alternately on this machine and prints the figures as a Markdown table.
#
#     [ROUNDS=5] [ALONE=COMMAND] run.sh BINARY ENVIRONMENT OUTPUT [COMPARISON...]
#
# ENVIRONMENT is what install.sh made. OUTPUT is a folder; a line of JSON for every measurement is added to the files in it.
# Without names every comparison is run. ALONE is put before every measurement, for machines where others have to wait.
set -eu
folder=$(dirname "$0")
ours=$1 environment=$2 output=$3
shift 3
python=$environment/bin/python
gguf=$environment/random-bf16.gguf
comparisons=${*:-matmul train rollouts sample-1 sample-64 prefill grpo grpo-turns turns orchestration}
mkdir -p "$output"

# record FILE COMMAND...: adds what one measurement says to a file of the output folder.
record() {
    file=$output/$1.jsonl
    shift
    ${ALONE:-} "$@" 2>"$output/errors.log" | grep '^{' >>"$file" || { cat "$output/errors.log" >&2; exit 1; }
}

ours() { name=$1; shift; record "$name.ours" "$ours" bench "$@" --json; }
torch() { name=$1 script=$2; shift 2; record "$name.torch" "$python" "$folder/$script" "$@"; }
trl() { name=$1; shift; record "$name.trl" "$python" "$folder/grpo.py" "$@"; }
llamacpp() { name=$1; shift; record "$name.llamacpp" "$python" "$folder/llamacpp.py" "$gguf" "$@"; }

# round COMPARISON: every side of a comparison once.
round() {
    case $1 in
    matmul) ours matmul matmul --repeats 5; torch matmul matmul.py --repeats 5 ;;
    train) ours train train --repeats 5; torch train train.py --repeats 5 ;;
    rollouts) ours rollouts train --rollouts --repeats 1; torch rollouts train.py --rollouts --repeats 1 --warm-up 0 ;;
    sample-1 | sample-64)
        rows=${1#sample-}
        ours "$1" sample --rows "$rows" --prompt 64 --tokens 64 --repeats 3
        torch "$1" generate.py --rows "$rows" --repeats 1
        llamacpp "$1" --rows "$rows" --repeats 3
        ;;
    prefill)
        ours prefill prefill --rows 64 --tokens 512 --shared 150 --repeats 1
        torch prefill prefill.py --rows 64 --tokens 512 --repeats 1
        llamacpp prefill --rows 64 --prompt 512 --shared 150 --tokens 0 --repeats 1
        ;;
    grpo) ours grpo grpo --repeats 3; trl grpo --repeats 1 ;;
    grpo-turns) ours grpo-turns grpo --turns 3 --repeats 1; trl grpo-turns --turns 3 --repeats 1 --warm-up 0 ;;
    turns) ours turns grpo --turns 2,8 --repeats 1 ;;
    orchestration) ours orchestration orchestration --repeats 3 ;;
    *) echo "run.sh: there is no comparison $1" >&2; exit 2 ;;
    esac
}

for comparison in $comparisons; do
    # What takes minutes is measured less often.
    case $comparison in rollouts | grpo*) rounds=${ROUNDS:-3} ;; *) rounds=${ROUNDS:-5} ;; esac
    for _ in $(seq "$rounds"); do round "$comparison"; done
done
"$python" "$folder/table.py" "$output"
