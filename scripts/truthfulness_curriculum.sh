#!/usr/bin/env bash
# Truthfulness by levelled pairs: make them, train by DPOP from easy to hard, and compare the model
# before and after on held-out pairs and on TruthfulQA.
#
#     DATA=squad-dev-v2.0.json MODEL=FOLDER RECIPE=recipe.yaml scripts/truthfulness_curriculum.sh
#     SMOKE=1 scripts/truthfulness_curriculum.sh     # the embedded model on programs that hallucinate
#     PLAN=1 scripts/truthfulness_curriculum.sh      # print every command and run none
#
# DATA are questions with a text and answers (`codefavor synthesise levels --help`); without it the pairs
# are programs of the starter problems with one hallucination each. With TEACHER=KIND:NAME a model writes the
# hard level; where none of its pairs is left, as when it is asked no more because its first 100 replies were all
# useless, the script says so and trains without that level. RECIPE is one for DPOP whose base model MODEL is.
# Killed at any moment, the same command goes on; with other settings use another WORK. Everything below is
# `codefavor`.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/walk.sh"

WORK=${WORK:-outputs/truthfulness${SMOKE:+-smoke}}
DATA=${DATA:-}
TEACHER=${TEACHER:-}
MODEL=${MODEL:-}                      # empty: the embedded model, made by `recipes prepare`
RECIPE=${RECIPE:-$ROOT/recipes/smollm2-135m/dpop.yaml}
CURRICULUM=${CURRICULUM:-}            # empty: staged, or without_hard where no pair to train on is hard
TRUTHFULQA=${TRUTHFULQA:-}            # a file; empty: the data folder, then the Hub; none leaves it out
LIMIT=(${LIMIT:+--limit "$LIMIT"})
# More for `train`, such as --set learning_rate=1e-5.
read -ra TRAIN <<< "${TRAIN:-${SMOKE:+--set max_steps=8}}"
if [ -n "$SMOKE" ]; then LIMIT=(--limit "${LIMIT[1]:-8}"); TRUTHFULQA=${TRUTHFULQA:-none}; fi

if [ -z "$MODEL" ]; then
    MODEL=outputs/models/SmolLM2-135M-Instruct
    run codefavor recipes prepare "$RECIPE"
fi
mkdir -p "$WORK"
begin_with "data $DATA" "teacher $TEACHER" "model $MODEL" "recipe $RECIPE" \
    "curriculum $CURRICULUM" "truthfulqa $TRUTHFULQA" "limit ${LIMIT[*]}" "train ${TRAIN[*]}"

say "Pairs in levels, some of them held out"
if [ -n "$DATA" ]; then
    run codefavor synthesise levels --data "$DATA" --out "$WORK/all.jsonl" \
        ${TEACHER:+--levels easy,medium,hard --model "$TEACHER"}
    run codefavor pair split "$WORK/all.jsonl" --out "$WORK/pairs" --share 0.2
else
    run codefavor pair mutants --kind hallucinations --problems starter --out "$WORK/pairs" \
        --candidates "$([ -n "$SMOKE" ] && echo 2 || echo 9)"
fi

is_hard_there() {
    if [ -n "$PLAN" ]; then [ -z "$DATA" ] || [ -n "$TEACHER" ]; else grep -q '"level": "hard"' "$WORK/pairs/train.jsonl"; fi
}

if [ -z "$CURRICULUM" ]; then
    CURRICULUM=$ROOT/recipes/curricula/staged.yaml
    if ! is_hard_there; then
        CURRICULUM=$ROOT/recipes/curricula/without_hard.yaml
        say "No pair to train on is hard: the curriculum goes without that level"
    fi
fi

judge() {  # before or after, model
    run codefavor evaluate pairs --data "$WORK/pairs/dev.jsonl" --model "likelihood:$2" --group-by level \
        "${LIMIT[@]}" --out "$WORK/$1"
    run codefavor pair margins "$(result "$1" pairs)"
    [ "$TRUTHFULQA" = none ] && return
    run codefavor evaluate truthfulqa-mc --model "local:$2" --name "$1" "${LIMIT[@]}" \
        ${TRUTHFULQA:+--data "$TRUTHFULQA"} --out "$WORK/$1"
}

result() {  # before or after, benchmark
    [ -n "$PLAN" ] && { echo "$WORK/$1/$2.*.json"; return; }
    ls "$WORK/$1/$2".*.json
}

say "What the levels are worth, and the model as it is"
judge before "$MODEL"

say "Training in the order of $(basename "$CURRICULUM" .yaml)"
run codefavor convert "$WORK/pairs/train.jsonl" --format dpo --curriculum "$CURRICULUM" \
    --tokenizer "$MODEL" --max-tokens 512 --allow-long drop --out "$WORK/train.jsonl"
if [ -n "$PLAN" ] || [ ! -d "$WORK/model" ]; then
    plugins=codefavor.training.plugins
    run codefavor train "$RECIPE" --data "$WORK/train.jsonl" --set "base_model=$MODEL" \
        --set "plugins=[$plugins.RunPlugin, $plugins.DPOPPlugin, $plugins.CurriculumPlugin]" \
        --set curriculum_order=true --set shuffle_merged_datasets=false \
        --set "output_dir=$WORK/train" --set "dataset_prepared_path=$WORK/prepared" "${TRAIN[@]}"
    run codefavor export "$WORK/train" --base "$MODEL" --out "$WORK/model"
fi

say "The trained model, and what changed"
judge after "$WORK/model"
run codefavor compare "$(result before pairs)" "$(result after pairs)" --out "$WORK/pairs.html"
[ "$TRUTHFULQA" = none ] || run codefavor compare "$(result before truthfulqa-mc)" \
    "$(result after truthfulqa-mc)" --out "$WORK/truthfulqa.html"
say "Done: the pages are in $WORK, the model is $WORK/model"
