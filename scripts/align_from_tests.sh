#!/usr/bin/env bash
# Alignment from test runs, in rounds: sample the newest model on the training problems, run every
# program, pair them, train, measure on the dev problems; until the dev problems say it no longer helps.
# Then the best model and the first one on the test problems, which nothing was chosen on, and compared.
#
#     MODEL=FOLDER RECIPE=recipe.yaml PROBLEMS=mbpp+ scripts/align_from_tests.sh
#     SMOKE=1 scripts/align_from_tests.sh     # the embedded model on 30 starter problems, any machine
#     PLAN=1 scripts/align_from_tests.sh      # print every command and run none
#
# MODEL is a folder of weights (`huggingface-cli download ... --local-dir FOLDER`), RECIPE any recipe for
# pairs of answers (DPO, DPOP, SimPO, ORPO) whose base model it is: `codefavor recipes new --model FOLDER
# --method dpo --gpus 1x80`. PROBLEMS is a known set, or a JSONL of problems with tests. Without settings:
# the embedded model and the starter problems. Killed at any moment, the same command goes on; with other
# settings use another WORK. Everything below is `codefavor`; the split follows from the problems' ids.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/walk.sh"

WORK=${WORK:-outputs/align${SMOKE:+-smoke}}
MODEL=${MODEL:-}                      # empty: the embedded model, made by `recipes prepare`
RECIPE=${RECIPE:-$ROOT/recipes/smollm2-135m/dpop.yaml}
PROBLEMS=${PROBLEMS:-starter}
ROUNDS=${ROUNDS:-$([ -n "$SMOKE" ] && echo 1 || echo 3)}
SAMPLES=${SAMPLES:-$([ -n "$SMOKE" ] && echo 2 || echo 10)}
TEMPERATURE=${TEMPERATURE:-0.8}
MAX_TOKENS=${MAX_TOKENS:-$([ -n "$SMOKE" ] && echo 96 || echo 512)}
# Which programs meet: see `codefavor pair tests --help`, and --plan for what each would give.
# The embedded model solves next to nothing, so that in a smoke run a failing program may be the better one.
read -ra STRATEGY <<< "${STRATEGY:-$([ -n "$SMOKE" ] && echo "--strategy all --may-fail" || echo "--strategy pass-fail")}"
# More for `train`, such as --set learning_rate=1e-5, and for `evaluate`, such as --set max_batch=16.
# The few pairs of a smoke run would give one step; warming up, its learning rate is 0.
read -ra TRAIN <<< "${TRAIN:-$([ -n "$SMOKE" ] && echo "--set warmup_steps=0 --set num_epochs=4 --set micro_batch_size=1")}"
read -ra SAMPLE <<< "${SAMPLE:-}"
LIMIT=(${LIMIT:+--limit "$LIMIT"})
if [ -n "$SMOKE" ]; then LIMIT=(--limit "${LIMIT[1]:-10}"); fi

if [ -f "$PROBLEMS" ]; then SET=(problems --data "$PROBLEMS"); else SET=("$PROBLEMS"); fi

# Where `measure` leaves its result; `rows` beside it has the programs.
result() { echo "$WORK/$1/$2/${SET[0]}.$1-t$TEMPERATURE-n$SAMPLES.json"; }

measure() {  # round, split, model, more
    run codefavor evaluate "${SET[@]}" --model "local:$3" --name "$1" --split "$2" --samples "$SAMPLES" \
        --temperature "$TEMPERATURE" --max-tokens "$MAX_TOKENS" "${LIMIT[@]}" "${SAMPLE[@]}" "${@:4}" --out "$WORK/$1/$2"
}

pass_at_1() {  # round: on the dev problems
    [ -n "$PLAN" ] && { echo 0; return; }
    python -c 'import json, sys; print(json.load(open(sys.argv[1]))["metrics"]["pass_at_k"]["1"]["mean"])' "$(result "$1" dev)"
}

higher() { python -c 'import sys; sys.exit(float(sys.argv[1]) <= float(sys.argv[2]))' "$1" "$2"; }

if [ -z "$MODEL" ]; then
    MODEL=outputs/models/SmolLM2-135M-Instruct
    run codefavor recipes prepare "$RECIPE"
fi
if [ -z "$PLAN" ] && [ ! -f "$MODEL/config.json" ]; then
    echo "error: MODEL=$MODEL is no folder of weights (it has no config.json)" >&2
    exit 2
fi
mkdir -p "$WORK"
begin_with "model $MODEL" "recipe $RECIPE" "problems $PROBLEMS ${LIMIT[*]}" "samples $SAMPLES" \
    "temperature $TEMPERATURE" "max_tokens $MAX_TOKENS" "strategy ${STRATEGY[*]}" "train ${TRAIN[*]}"

say "Round 0: the model as it is, on the dev problems"
measure round0 dev "$MODEL"
best=0
best_value=$(pass_at_1 round0)
newest=$MODEL
models=("$MODEL")
for ((round = 1; round <= ROUNDS; round++)); do
    before=round$((round - 1)) now=round$round
    say "Round $round: sample $newest on the training problems, pair what passed with what failed, train"
    # What a model was trained on may be sampled again; only dev and test measure anything.
    measure "$before" train "$newest" --allow-trained
    scored=$(result "$before" train)
    [ -n "$PLAN" ] || rm -f "$WORK/$now/pairs.jsonl"
    run codefavor pair tests "$WORK/$before/train/rows/$(basename "$scored" .json).jsonl" --problems "$PROBLEMS" \
        "${STRATEGY[@]}" --as-asked --out "$WORK/$now/pairs.jsonl" || [ -f "$WORK/$now/pairs.jsonl" ] # no pairs: an empty file
    if [ -z "$PLAN" ] && [ ! -s "$WORK/$now/pairs.jsonl" ]; then
        say "Round $round has no pairs (above: why): more SAMPLES, easier PROBLEMS, or STRATEGY='--strategy margin --may-fail'"
        ROUNDS=$((round - 1))
        break
    fi
    if [ -n "$PLAN" ] || [ ! -d "$WORK/$now/model" ]; then
        run codefavor train "$RECIPE" --data "$WORK/$now/pairs.jsonl" --set "base_model=$newest" \
            --set "output_dir=$WORK/$now/train" --set "dataset_prepared_path=$WORK/$now/prepared" "${TRAIN[@]}"
        run codefavor export "$WORK/$now/train" --base "$newest" --out "$WORK/$now/model"
    fi
    newest=$WORK/$now/model
    models+=("$newest")
    measure "$now" dev "$newest"
    value=$(pass_at_1 "$now")
    if ! higher "$value" "$best_value"; then
        say "Round $round: pass@1 on dev is $value, not above $best_value of round $best: no further round"
        ROUNDS=$round
        break
    fi
    say "Round $round: pass@1 on dev is $value, $best_value before"
    best=$round best_value=$value
done

# Where nothing helped on dev, the last round shows how little.
shown=$best
[ "$best" -gt 0 ] || shown=$((${#models[@]} - 1))
if [ "$shown" -eq 0 ]; then echo "error: no round could be trained; nothing to compare" >&2; exit 1; fi
say "The test problems, which nothing was chosen on: the model as it was, and round $shown"
measure round0 test "$MODEL"
measure "round$shown" test "${models[$shown]}"
run codefavor compare "$(result round0 test)" "$(result "round$shown" test)" --out "$WORK/compare.html"
if [ "$best" -eq 0 ]; then say "No round was better than the model as it was on the dev problems; $WORK/compare.html shows round $shown"; fi
say "Done: $WORK/compare.html; the model is ${models[$best]}"
