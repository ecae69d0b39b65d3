#!/usr/bin/env bash
# A writer of tests, from data to a comparison: suites measured by what they catch, SFT on good ones, DPO
# on pairs of good and bad ones (the tuned model's own among them), GRPO with the live measure as reward;
# then the model as it was and the three stages on the test problems.
#
#     MODEL=FOLDER SFT=recipe.yaml DPO=recipe.yaml GRPO=recipe.yaml PROBLEMS=mine.jsonl scripts/train_test_writer.sh
#     SMOKE=1 scripts/train_test_writer.sh     # the embedded model on the starter problems, any machine
#     PLAN=1 scripts/train_test_writer.sh      # print every command and run none
#
# With TEACHER=KIND:NAME a model writes the first suites, otherwise they are the problems' own checks, whole
# and weakened. PROBLEMS is a JSONL of problems with programs and tests, of no benchmark. The recipes are
# any for SFT, DPO and GRPO whose base model MODEL is (docs/suites.md); GRPO=none leaves that stage out.
# Killed at any moment, the same command goes on; with other settings use another WORK. Everything below is
# `codefavor`; training sees the training split only, which follows from the problems' ids.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/walk.sh"

pick() { if [ -n "$SMOKE" ]; then echo "$1"; else echo "$2"; fi; }

WORK=${WORK:-outputs/test-writer${SMOKE:+-smoke}}
MODEL=${MODEL:-}                      # empty: the embedded model, made by `recipes prepare`
SFT=${SFT:-$ROOT/recipes/smollm2-135m/tests-sft.yaml}
DPO=${DPO:-$ROOT/recipes/smollm2-135m/tests-dpo.yaml}
GRPO=${GRPO:-$ROOT/recipes/smollm2-135m/tests-grpo.yaml}
PROBLEMS=${PROBLEMS:-$ROOT/datasets/starter/problems.jsonl}
TEACHER=${TEACHER:-}
FRAMEWORK=${FRAMEWORK:-pytest}
SAMPLES=${SAMPLES:-$(pick 2 8)}
TEMPERATURE=${TEMPERATURE:-0.8}
MAX_TOKENS=${MAX_TOKENS:-$(pick 96 1024)}
MUTANTS=${MUTANTS:-$(pick 8 24)}
# Rows of more tokens are left out of training; the recipes' sequence_len.
LONGEST=${LONGEST:-$(pick 560 1024)}
# The least score of a suite that is learnt from.
LEAST=${LEAST:-$(pick 0.7 0.9)}
LIMIT=(--limit "${LIMIT:-$(pick 3 1000)}")
# Problems whose own checks or teacher's suites are learnt from, and those that the tuned model writes for.
FIRST=(--limit "${FIRST:-$(pick 40 100000)}")
# More for `train` of each stage, such as --set learning_rate=1e-5.
read -ra TRAIN_SFT <<< "${TRAIN_SFT:-${SMOKE:+--set max_steps=4 --set micro_batch_size=1 --set warmup_steps=0}}"
read -ra TRAIN_DPO <<< "${TRAIN_DPO:-${SMOKE:+--set max_steps=2 --set micro_batch_size=1 --set warmup_steps=0}}"
read -ra TRAIN_GRPO <<< "${TRAIN_GRPO:-${SMOKE:+--set max_steps=1 --set warmup_steps=0}}"

if [ -z "$MODEL" ]; then
    MODEL=outputs/models/SmolLM2-135M-Instruct
    run codefavor recipes prepare "$SFT"
fi
mkdir -p "$WORK"
begin_with "model $MODEL" "recipes $SFT $DPO $GRPO" "problems $PROBLEMS ${FIRST[*]} ${LIMIT[*]}" \
    "teacher $TEACHER" "framework $FRAMEWORK" "samples $SAMPLES $TEMPERATURE $MAX_TOKENS" "mutants $MUTANTS $LEAST $LONGEST" \
    "train ${TRAIN_SFT[*]} / ${TRAIN_DPO[*]} / ${TRAIN_GRPO[*]}"

score() {  # suites: what each catches
    run codefavor score "$WORK/$1.jsonl" --tests --problems "$PROBLEMS" --mutants "$MUTANTS" --out "$WORK/$1.scored.jsonl"
}

train() {  # stage, recipe, base, rows, more
    if [ -n "$PLAN" ] || [ ! -d "$WORK/$1" ]; then
        run codefavor train "$2" --data "$4" --set "base_model=$3" --set "output_dir=$WORK/$1-train" \
            --set "dataset_prepared_path=$WORK/$1-prepared" "${@:5}"
        run codefavor export "$WORK/$1-train" --base "$3" --out "$WORK/$1"
    fi
}

result() { echo "$WORK/results/test-writing.$1-t$TEMPERATURE-n$SAMPLES.json"; }

measure() {  # name, model: on the test problems
    run codefavor evaluate test-writing --problems "$PROBLEMS" --split test --model "local:$2" --name "$1" \
        --framework "$FRAMEWORK" --samples "$SAMPLES" --temperature "$TEMPERATURE" --max-tokens "$MAX_TOKENS" \
        --mutants "$MUTANTS" "${LIMIT[@]}" --out "$WORK/results"
}

say "Data: suites for the problems, and what each catches"
if [ -n "$TEACHER" ]; then
    run codefavor synthesise tests --problems "$PROBLEMS" --framework "$FRAMEWORK" "${FIRST[@]}" --model "$TEACHER" \
        --n "$SAMPLES" --out "$WORK/first.jsonl"
else
    run codefavor synthesise tests --problems "$PROBLEMS" --framework "$FRAMEWORK" "${FIRST[@]}" --own-tests \
        --out "$WORK/first.jsonl"
fi
score first

say "SFT on the good ones"
run codefavor pair suites "$WORK/first.scored.jsonl" --split train --least "$LEAST" --out "$WORK/sft-pairs.jsonl"
run codefavor convert "$WORK/sft-pairs.jsonl" --format sft --tokenizer "$MODEL" --max-tokens "$LONGEST" --allow-long drop \
    --out "$WORK/sft.jsonl"
train sft "$SFT" "$MODEL" "$WORK/sft.jsonl" "${TRAIN_SFT[@]}"

say "Pairs: the tuned model's own suites beside the first ones"
run codefavor synthesise tests --problems "$PROBLEMS" --framework "$FRAMEWORK" "${LIMIT[@]}" --model "local:$WORK/sft" \
    --n "$SAMPLES" --temperature "$TEMPERATURE" --max-tokens "$MAX_TOKENS" --out "$WORK/own.jsonl"
score own
[ -n "$PLAN" ] || cat "$WORK/first.scored.jsonl" "$WORK/own.scored.jsonl" > "$WORK/all.scored.jsonl"
run codefavor pair suites "$WORK/all.scored.jsonl" --split train --least "$LEAST" --out "$WORK/pairs.jsonl"
run codefavor convert "$WORK/pairs.jsonl" --format dpo --tokenizer "$MODEL" --max-tokens "$LONGEST" --allow-long drop \
    --out "$WORK/dpo.jsonl"

say "DPO on the pairs"
train dpo "$DPO" "$WORK/sft" "$WORK/dpo.jsonl" "${TRAIN_DPO[@]}"
stages=(sft dpo)

if [ "$GRPO" != none ]; then
    say "GRPO: the reward is what the sampled suite catches"
    run codefavor convert "$PROBLEMS" --format grpo --task tests --split train --out "$WORK/grpo.jsonl"
    train grpo "$GRPO" "$WORK/dpo" "$WORK/grpo.jsonl" "${TRAIN_GRPO[@]}"
    stages+=(grpo)
fi

say "The test problems: the model as it was, and every stage"
measure base "$MODEL"
results=("$(result base)")
for stage in "${stages[@]}"; do
    measure "$stage" "$WORK/$stage"
    results+=("$(result "$stage")")
done
run codefavor compare "${results[@]}" --out "$WORK/compare.html"
say "Done: $WORK/compare.html; the models are in $WORK"
