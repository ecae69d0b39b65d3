#!/usr/bin/env bash
# The experiment of the CodeFavor paper (arXiv 2410.03837), from commits and drafts to measured judges.
#
#     scripts/reproduce_codefavor.sh             # the whole: two servers, 8 GPUs, days
#     SMOKE=1 scripts/reproduce_codefavor.sh     # the same lines with the embedded model, 20 rows and
#                                                # two training steps, on any machine, in outputs/smoke;
#                                                # six of the ten data sets, more with DATA="..."
#     PLAN=1 scripts/reproduce_codefavor.sh      # print every command and run none
#
# Needs for the whole: TEACHER_URL and DRAFTER_URL, OpenAI-compatible servers of the two models below
# (docs/engine.md), a Hugging Face token for the four base models, 850 GB of disk in WORK (32 judges and
# 8 merged ones, weights in bfloat16) beside 75 GB in the Hub's cache, and CODEFAVOR_DATA with CodePrefBench
# (docs/data.md). What that folder lacks, instructions and the other benchmarks, comes from the Hub; data
# is compared with all eleven sets of AGAINST, or with those that you name there, and nothing begins
# where one of them cannot be had. Killed at any moment, the same command goes on: synthesis and evaluation
# resume from their journals; a training that was cut short starts anew, its optimizer states would be
# 9 TB. Everything below is `codefavor`, axolotl or git.
set -euo pipefail
if [ $# -gt 0 ]; then
    sed -n '2,/^set /s/^#//p' "${BASH_SOURCE[0]}"
    [ "$1" = --help ] || [ "$1" = -h ] || { echo "error: settings are variables, not arguments: $*" >&2; exit 2; }
    exit 0
fi

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export AXOLOTL_DO_NOT_TRACK=1         # a bare launch of Axolotl reports home otherwise
SMOKE=${SMOKE:-}
PLAN=${PLAN:-}
PATH=$ROOT/.venv/bin:$PATH

# ---------------------------------------------------------------------------------------------------
# Settings: the paper's, and what SMOKE puts in their place
# ---------------------------------------------------------------------------------------------------
if [ -z "$SMOKE" ]; then
    WORK=${WORK:-$ROOT}
    STRONG="openai:meta-llama/Meta-Llama-3-70B-Instruct"
    WEAK="openai:meta-llama/Meta-Llama-3-8B-Instruct"
    TEACHER=(--model "$STRONG" --set "base_url=${TEACHER_URL:-http://127.0.0.1:8000/v1}")
    DRAFTER=(--model "$WEAK" --set "base_url=${DRAFTER_URL:-http://127.0.0.1:8001/v1}")
    COMMITS=${COMMITS:-editpackft}
    LANGUAGES=(--languages python)
    TASKS=(--instructions self-oss-instruct)
    PROBLEMS=()                       # these tasks have no tests: pairs are verified without
    VERIFY=(--verify evidence --verify judge)
    FEW=(--max-tokens 2048)           # all rows; the paper's limits, as all of these
    FEW_TASKS=(--max-tokens 1024)
    FEW_STRONG=("${FEW_TASKS[@]}")
    FEW_CONTROLLED=("${FEW[@]}")
    EXAMPLES=()
    MODELS=(mistral-7b mistral-nemo-12b llama-3-8b gemma-2-9b)
    DATA=(commit-cls critic-cls mix-cls commit-gen critic-gen mix-gen)
    CONTROLLED=(mistral-7b mistral-nemo-12b)
    CONTROLLED_DATA=(critic-8b-cls critic-70b-cls mix-comments-cls mix-70b-gen)
    RECIPES=paper
    TOKENIZERS=(--tokenizer mistralai/Mistral-7B-Instruct-v0.3
                --tokenizer mistralai/Mistral-Nemo-Instruct-2407
                --tokenizer meta-llama/Meta-Llama-3-8B-Instruct
                --tokenizer google/gemma-2-9b-it)
    MAX_TOKENS=2048
    BENCH=()
    REPLY=(--max-tokens 2048)
    read -ra AGAINST <<< "${AGAINST:-codeprefbench humaneval humaneval+ mbpp mbpp+ humanevalpack humanevalpack-js humanevalpack-java humanevalpack-go humanevalpack-cpp humanevalpack-rust}"
    DISK_GB=850
else
    WORK=${WORK:-$ROOT/outputs/smoke}
    TEACHER=(--model embedded:)
    DRAFTER=(--model embedded:)
    COMMITS=${COMMITS:-repository}    # made below; COMMITS=/path/to/a/clone takes yours
    LANGUAGES=(--languages python)
    TASKS=(--problems starter)
    PROBLEMS=(--problems starter)
    VERIFY=(--verify evidence --verify judge)
    FEW=(--limit 20 --max-tokens 128)
    FEW_TASKS=(--limit 20 --max-tokens 96)
    FEW_CONTROLLED=(--limit 2 --max-tokens 96)
    FEW_STRONG=("${FEW_CONTROLLED[@]}")
    EXAMPLES=(--examples 1)           # four are 2,800 tokens a row: minutes of a CPU for each
    MODELS=(smollm2-135m)
    read -ra DATA <<< "${DATA:-commit-cls critic-cls mix-cls commit-gen critic-gen}"
    CONTROLLED=(smollm2-135m)
    read -ra CONTROLLED_DATA <<< "${CONTROLLED_DATA:-critic-8b-cls}"
    RECIPES=smoke
    TOKENIZERS=(--tokenizer outputs/models/SmolLM2-135M-Instruct)
    MAX_TOKENS=1024                   # the window of recipes/layers/smoke.yaml
    BENCH=(--sample 2)
    REPLY=(--max-tokens 32)
    read -ra AGAINST <<< "${AGAINST:-codeprefbench}"
    DISK_GB=10
    export OMP_WAIT_POLICY=passive
fi

SYSTEM=none                           # the paper's chat templates refuse a system turn, or merge it
VARIANT=-no-system

say() { printf '\n== %s\n' "$*" >&2; }

# Show a command and run it; under PLAN only print it.
run() {
    if [ -n "$PLAN" ]; then printf '%q ' "$@"; printf '\n'; return; fi
    printf '+ %s\n' "$*" >&2
    "$@"
}

# Run a command unless a file that it writes last is there already: what cannot be written twice.
once() {
    local made=$1
    shift
    if [ -z "$PLAN" ] && compgen -G "$made" >/dev/null; then echo "done before: $made" >&2; return; fi
    run "$@"
}

# What a run is called: under SMOKE by its data only, there is one model.
recipe() { if [ -n "$SMOKE" ]; then echo "$2"; else echo "$1-$2${3:-}"; fi; }

# The embedded model hardly ever writes a usable pair. So that every later line has rows to work on,
# SMOKE puts verified mutants in the place of an empty result, and says so.
stand_in() {
    if [ -n "$SMOKE" ] && [ -z "$PLAN" ] && [ ! -s "$1" ]; then
        echo "no pair came out of $1: verified mutants stand in for the rest of this smoke run" >&2
        cp outputs/mutants/train.jsonl "$1"
    fi
}

# Run what makes pairs and writes them to the first argument; SMOKE may end without any (status 1).
pairs() {
    local out=$1
    shift
    run "$@" --out "$out" || { [ $? -eq 1 ] && [ -n "$SMOKE" ] && [ ! -s "$out" ]; }
    stand_in "$out"
}

# A repository with a history for SMOKE: small functions, each written and then improved.
make_repository() {
    [ -d repository/.git ] && return
    git init -q repository
    improve LICENSE "Licence" < "$ROOT/LICENSE"
    improve total.py "Add the sum of squares" <<< $'def total(values):\n    result = 0\n    for i in range(len(values)):\n        result = result + values[i] * values[i]\n    return result'
    improve total.py "Say the sum of squares in one expression" <<< $'def total(values):\n    return sum(value * value for value in values)'
    improve names.py "Find repeated names" <<< $'def repeated(names):\n    found = []\n    for name in names:\n        if names.count(name) > 1 and name not in found:\n            found.append(name)\n    return found'
    improve names.py "Count names once: the search for repeated ones was quadratic" <<< $'from collections import Counter\n\n\ndef repeated(names):\n    counts = Counter(names)\n    return [name for name, count in counts.items() if count > 1]'
    improve mean.py "Add a mean" <<< $'def mean(values):\n    return sum(values) / len(values)'
    improve mean.py "Fix the mean of no values, which divided by zero" <<< $'def mean(values):\n    if not values:\n        return 0.0\n    return sum(values) / len(values)'
    improve listing.py "List a folder" <<< $'import os\n\n\ndef listing(folder):\n    return os.popen("ls " + folder).read().split()'
    improve listing.py "Fix shell injection through the name of a folder" <<< $'import os\n\n\ndef listing(folder):\n    return sorted(os.listdir(folder))'
}
improve() {
    cat > "repository/$1"
    git -C repository add "$1"
    git -C repository -c user.name=smoke -c user.email=smoke@example.org commit -q -m "$2"
}

mkdir -p "$WORK"
cd "$WORK"
if [ "$WORK" != "$ROOT" ]; then ln -sfn "$ROOT/recipes" recipes; ln -sfn "$ROOT/evaluation" evaluation; fi
if [ -z "$PLAN" ] && [ ! -d "${CODEFAVOR_DATA:-}/codeprefbench" ]; then
    echo "error: CODEFAVOR_DATA must name a folder that has codeprefbench/ (docs/data.md says how)" >&2
    exit 2
fi
# What is written already counts, so that the same command goes on where it was killed.
if [ -z "$PLAN" ]; then
    free=$(df -Pk . | awk 'NR == 2 { print int($4 * 1.024 / 1000000) }')
    used=$( { [ -d outputs ] && du -sk outputs || echo 0; } | awk '{ print int($1 * 1.024 / 1000000) }')
    if [ "$((free + used))" -lt "$DISK_GB" ]; then
        echo "error: $PWD has $free GB free and $used GB of earlier results; the whole needs $DISK_GB GB (WORK=... is another place)" >&2
        exit 2
    fi
fi
AGAINST=("${AGAINST[@]/#/--against=}")
if [ -z "$SMOKE" ]; then
    say "Before anything is asked: is every benchmark here that the data must not contain?"
    if [ -z "$PLAN" ]; then
        mkdir -p outputs/pairs
        echo '{"id": "probe", "instruction": "Add two numbers.", "chosen": "a + b", "rejected": "a - b"}' > outputs/pairs/probe.jsonl
    fi
    run codefavor pair decontaminate outputs/pairs/probe.jsonl "${AGAINST[@]}" --out outputs/pairs/probe.clean.jsonl
fi
if [ -n "$SMOKE" ]; then
    say "For SMOKE alone: the small model, a repository, and pairs that stand in for empty results"
    run codefavor recipes prepare recipes/smollm2-135m/pairwise.yaml
    head -n 16 "$ROOT/datasets/starter/problems.jsonl" > problems.jsonl
    run codefavor pair mutants --problems problems.jsonl --candidates 2 --out outputs/mutants
    [ -n "$PLAN" ] || make_repository
fi

# ---------------------------------------------------------------------------------------------------
say "1. Commit-Instruct: what did a commit improve, shown in two programs (paper: 22,469 commits, 91.9 % kept)"
# ---------------------------------------------------------------------------------------------------
pairs outputs/raw/commit_instruct.jsonl codefavor synthesise commit-instruct --commits "$COMMITS" "${LANGUAGES[@]}" \
    "${TEACHER[@]}" "${VERIFY[@]}" --temperature 0.8 "${FEW[@]}"

# ---------------------------------------------------------------------------------------------------
say "2. Critic-Evol: drafts of a weak model, criticised and improved (paper: 50,661 drafts, 82.1 % kept)"
# ---------------------------------------------------------------------------------------------------
run codefavor synthesise drafts "${TASKS[@]}" "${DRAFTER[@]}" --n 1 --temperature 0.8 "${FEW_TASKS[@]}" --out outputs/drafts/weak.jsonl
run codefavor synthesise drafts "${TASKS[@]}" "${TEACHER[@]}" --n 1 --temperature 0.8 "${FEW_STRONG[@]}" --out outputs/drafts/strong.jsonl

critic_evol() {  # name, drafts, then the critic and other options
    pairs "outputs/raw/$1.jsonl" codefavor synthesise critic-evol --drafts "outputs/drafts/$2.jsonl" "${PROBLEMS[@]}" "${@:3}" \
        "${EXAMPLES[@]}" "${VERIFY[@]}" --temperature 0.5
}
critic_evol critic_evol weak "${TEACHER[@]}" "${FEW[@]}"
# The controlled comparisons: comments kept, and draft and critic of one model, small and large.
critic_evol critic_evol_comments weak "${TEACHER[@]}" "${FEW_CONTROLLED[@]}" --comments keep
critic_evol critic_evol_8b weak "${DRAFTER[@]}" "${FEW_CONTROLLED[@]}"
critic_evol critic_evol_70b strong "${TEACHER[@]}" "${FEW_CONTROLLED[@]}"

# ---------------------------------------------------------------------------------------------------
say "3. Verified above, row by row; now the audit, and no row that is near a benchmark"
# ---------------------------------------------------------------------------------------------------
SETS=(commit_instruct critic_evol critic_evol_comments critic_evol_8b critic_evol_70b)
for set in "${SETS[@]}"; do
    run codefavor pair decontaminate "outputs/raw/$set.jsonl" "${AGAINST[@]}" --out "outputs/pairs/$set.jsonl" --report "outputs/pairs/$set.overlap.json"
    run codefavor pair audit "outputs/pairs/$set.jsonl" --out "outputs/pairs/$set.audit.json"
done

# ---------------------------------------------------------------------------------------------------
say "4. Training rows: A/B questions in both orders, answered by a letter, or by feedback and a result"
# ---------------------------------------------------------------------------------------------------
convert() {  # set, format
    run codefavor convert "outputs/pairs/$1.jsonl" --format "$2" --system "$SYSTEM" --order both \
        "${TOKENIZERS[@]}" --max-tokens "$MAX_TOKENS" --allow-long drop --out "outputs/data/$1.$2$VARIANT.jsonl"
}
for set in "${SETS[@]}"; do convert "$set" pairwise; done
for set in commit_instruct critic_evol critic_evol_70b; do convert "$set" pairwise_cot; done
run codefavor card outputs/pairs/commit_instruct.jsonl outputs/pairs/critic_evol.jsonl \
    --journal outputs/raw/commit_instruct.jsonl.journal --journal outputs/raw/critic_evol.jsonl.journal \
    --overlap outputs/pairs/commit_instruct.overlap.json --overlap outputs/pairs/critic_evol.overlap.json \
    --name "CodeFavor pairs" --fresh --out outputs/card
run codefavor report data outputs/raw/commit_instruct.jsonl.journal outputs/raw/critic_evol.jsonl.journal --out outputs/report/rows.html

# ---------------------------------------------------------------------------------------------------
say "5. Judges: each base model on each data set, classification (cls) and generation (gen)"
# ---------------------------------------------------------------------------------------------------
train() {  # model, data, "-controlled"
    local out="outputs/train/$RECIPES-$(recipe "$@")"
    if [ -z "$SMOKE" ]; then
        once "$out/*.safetensors" accelerate launch --num_processes 8 -m axolotl.cli.train "recipes/paper/$1-$2${3:-}.yaml"
        # The weights of its last epoch are those of the result: kept twice, all would need 1.4 TB.
        [ -n "$PLAN" ] || rm -rf "$out"/checkpoint-*
    else
        # The paper's recipe on the same rows, with two steps of the small model laid over it.
        once "$out/*.safetensors" codefavor train "recipes/paper/mistral-7b-$2${3:-}.yaml" \
            --layer smoke --set "output_dir=$out" --gpus 0
    fi
}
for model in "${MODELS[@]}"; do
    for data in "${DATA[@]}"; do train "$model" "$data"; done
done
for model in "${CONTROLLED[@]}"; do
    for data in "${CONTROLLED_DATA[@]}"; do train "$model" "$data" -controlled; done
done

# ---------------------------------------------------------------------------------------------------
say "6. The paper's default judge: the mean of the Commit-Instruct and the Critic-Evol model"
# ---------------------------------------------------------------------------------------------------
for model in "${MODELS[@]}"; do
    for kind in cls gen; do
        once "outputs/merged/$model-$kind/*.safetensors" codefavor merge \
            "outputs/train/$RECIPES-$(recipe "$model" "commit-$kind")" "outputs/train/$RECIPES-$(recipe "$model" "critic-$kind")" \
            --out "outputs/merged/$model-$kind"
    done
done

# ---------------------------------------------------------------------------------------------------
say "7. CodePrefBench with the paper's protocol, and the baselines that every judge has to beat"
# ---------------------------------------------------------------------------------------------------
evaluate() { run codefavor evaluate codeprefbench --protocol paper "${BENCH[@]}" --out outputs/results "$@"; }
evaluate_judge() {  # name, folder: a cls model is asked for a letter, a gen model for its reasons first
    case $1 in
        *-gen*) evaluate --model "local:$2" --system "$SYSTEM" --mode reasoned "${REPLY[@]}" --name "$1" ;;
        *) evaluate --model "pairwise:$2" --system "$SYSTEM" --name "$1" ;;
    esac
}
evaluate --model shorter
evaluate --model longer
for model in "${MODELS[@]}"; do
    for kind in cls gen; do evaluate_judge "$model-merged-$kind" "outputs/merged/$model-$kind"; done
    for data in "${DATA[@]}"; do
        evaluate_judge "$model-$data" "outputs/train/$RECIPES-$(recipe "$model" "$data")"
    done
done
for model in "${CONTROLLED[@]}"; do
    for data in "${CONTROLLED_DATA[@]}"; do
        evaluate_judge "$model-$data" "outputs/train/$RECIPES-$(recipe "$model" "$data" -controlled)"
    done
done
if [ -n "$PLAN" ]; then RESULTS=(outputs/results/codeprefbench.json); else RESULTS=(outputs/results/codeprefbench.*.json); fi
run codefavor report leaderboard "${RESULTS[@]}" --references evaluation/codeprefbench_paper.csv --out outputs/report/leaderboard.html
say "Done: $PWD/outputs/report/leaderboard.html, $PWD/outputs/report/rows.html, $PWD/outputs/card"
