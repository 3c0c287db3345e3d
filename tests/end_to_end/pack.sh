#!/bin/sh
# Packing that is killed, stopped, repeated with other input; identical images; what is hidden of patients; sums.
# In: the executable (see common.sh), the phantom generator; ANLAGE_KILLS: how often it is killed (4). Out: a line `ok NAME` or `not ok NAME` per
# check; exit 1 if any is not.
set -u
. "$(dirname "$0")/common.sh"
kills=${ANLAGE_KILLS:-4}

"$build/samples/phantoms" "$work/images" 60 3 || exit 1
head -c 32 /dev/zero > "$work/salt"
# Shards of 3 samples: many, so that there is much to be killed between.
pack() { "$anlage" pack "$work/images" --labels "$work/images/labels.csv" --boxes "$work/images/boxes.csv" --size 48 --shard-samples 3 --salt "$work/salt" --threads 1 "$@"; }
pack_itself() { exec "$anlage" pack "$work/images" --labels "$work/images/labels.csv" --boxes "$work/images/boxes.csv" --size 48 --shard-samples 3 --salt "$work/salt" --threads 1 "$@"; } # as a job, which a signal reaches
unfinished() { find "$1/.anlage-pack" -name '*.part' 2> /dev/null | wc -l; }
same() { # NAME A B
    if diff -r "$2" "$3" > "$work/output" 2>&1; then ok "$1"; else not_ok "$1" "$(head -n 1 "$work/output")"; fi
}
# begin OUT PARTS …: packs in the background until PARTS shards are finished; its process is $child
begin() {
    out=$1 parts=$2
    shift 2
    pack_itself --out "$out" "$@" > "$work/begun" 2>&1 &
    child=$!
    while [ "$(unfinished "$out")" -lt "$parts" ] && kill -0 "$child" 2> /dev/null; do sleep 0.01; done
}

check "an uninterrupted pack" pack --out "$work/whole"
[ ! -e "$work/whole/.anlage-pack" ] && ok "leaves no work behind" || not_ok "leaves no work behind"

# Killed at points drawn over the 21 shards, and over the time that one takes, whatever the speed of the machine; at the earliest before the first.
awk -v n="$kills" 'BEGIN { srand(7); for (i = 0; i < n; i++) printf "%d %.4f\n", int(rand() * 21), rand() * 0.04 }' > "$work/points"
different= resumed=0
while read -r parts delay; do
    rm -rf "$work/killed"
    begin "$work/killed" "$parts"
    sleep "$delay"
    kill -9 "$child" 2> /dev/null
    wait "$child" 2> /dev/null
    if [ -e "$work/killed/manifest.json" ] && [ ! -e "$work/killed/.anlage-pack" ]; then
        pack --out "$work/killed" > "$work/output" 2>&1 # it was done before: what may be left of the work goes
        grep -q 'holds a pack already' "$work/output" || different="$different after $parts shards and ${delay}s: a complete pack is not left alone;"
    elif ! pack --out "$work/killed" > "$work/output" 2>&1; then
        different="$different after $parts shards and ${delay}s: $(tail -n 1 "$work/output");"
    else
        grep -q 'finished before' "$work/output" && resumed=$((resumed + 1))
    fi
    diff -r "$work/whole" "$work/killed" > "$work/difference" 2>&1 || different="$different after $parts shards and ${delay}s: $(head -n 1 "$work/difference");"
done < "$work/points"
[ -z "$different" ] && ok "killed $kills times, packs are the same byte for byte" || not_ok "killed $kills times, packs are the same byte for byte" "$different"
echo "    $resumed of $kills went on with finished shards"

# Killed with shards finished, for certain: it goes on with them; nothing looks like a pack meanwhile.
begin "$work/out" 5
kill -9 "$child"
wait "$child" 2> /dev/null
before=$(ls -i "$work/out/.anlage-pack/train-00000.h5")
[ -z "$(ls "$work/out")" ] && ok "half a pack is not taken for one" || not_ok "half a pack is not taken for one" "$(ls "$work/out" | head -n 1)"
case $(ls -l "$work/out/.anlage-pack/salt" | cut -c 1-10)$(ls -ld "$work/out/.anlage-pack" | cut -c 1-10) in
-rw-------drwx------) ok "only the owner sees the work" ;;
*) not_ok "only the owner sees the work" ;;
esac
check_fails "other arguments are not mixed in" 1 "A0813" pack --out "$work/out" --seed 9
grep -q -- '--seed was 0, and is 9 now' "$work/output" && ok "the argument is named" || not_ok "the argument is named"
kept=$(ls "$work/images/"*.tif | head -n 1)
cp -p "$kept" "$work/kept.tif"
touch "$kept"
check_fails "other files are not mixed in" 1 "A0813" pack --out "$work/out"
grep -qF "$kept" "$work/output" && ok "the file is named" || not_ok "the file is named"
cp -p "$work/kept.tif" "$kept"
check "it goes on" pack --out "$work/out"
if grep -q 'of them finished before' "$work/output" && [ "${before%% *}" = "$(ls -i "$work/out/train-00000.h5" | cut -d ' ' -f 1)" ]; then
    ok "finished shards are used again"
else
    not_ok "finished shards are used again"
fi
same "and is the same byte for byte" "$work/whole" "$work/out"

# Stopped, while it was to replace another pack: that one stays until the new one is complete. Another process is kept out.
begin "$work/out" 5 --seed 9 --force
kill -STOP "$child"
check_fails "two do not pack into one folder" 1 "another process is packing" pack --out "$work/out" --seed 9 --force
kill -CONT "$child"
kill -TERM "$child"
wait "$child"
[ $? = 130 ] && grep -q 'the same command goes on' "$work/begun" && ok "stopped by a signal" || not_ok "stopped by a signal" "$(tail -n 1 "$work/begun")"
rm -rf "$work/copy"
mkdir "$work/copy"
cp "$work/out/"* "$work/copy"
same "the old pack stands until the new one is complete" "$work/whole" "$work/copy"
check "--force begins anew with other input" pack --out "$work/out" --seed 10 --force
check "a pack of that input" pack --out "$work/other" --seed 10
same "nothing is left of what was begun" "$work/other" "$work/out"

# A random salt: kept over a kill, and different in every pack.
random() { "$anlage" pack "$work/images" --labels "$work/images/labels.csv" --size 16 --shard-samples 3 --threads 1 --anonymous-files "$@"; }
(exec "$anlage" pack "$work/images" --labels "$work/images/labels.csv" --size 16 --shard-samples 3 --threads 1 --anonymous-files --out "$work/random") > /dev/null 2>&1 &
child=$!
while [ "$(unfinished "$work/random")" -lt 5 ] && kill -0 "$child" 2> /dev/null; do sleep 0.01; done
kill -9 "$child"
wait "$child" 2> /dev/null
check "a random salt outlives a kill" random --out "$work/random"
if grep -q 'finished before' "$work/output" && [ "$(cat "$work/random/"*.h5 | grep -aoE 'p[0-9a-f]{16}' | sort -u | wc -l)" = "$(cut -d , -f 4 "$work/images/labels.csv" | sed 1d | sort -u | wc -l)" ]; then
    ok "every patient has one hash"
else
    not_ok "every patient has one hash"
fi
cut -d , -f 4 "$work/images/labels.csv" | sed 1d | sort -u > "$work/ids"
if cat "$work/random/"* | grep -aqwF -f "$work/ids"; then not_ok "no id is left in the pack"; else ok "no id is left in the pack"; fi

# Sums and tables.
check "sums are right" "$anlage" inspect --verify "$work/whole"
printf 'x' | dd of="$work/other/train-00000.h5" bs=1 seek=5000 conv=notrunc 2> /dev/null
check_fails "a changed byte shows" 1 "A0819" "$anlage" inspect --verify "$work/other"
check "inspect shows the pack" "$anlage" inspect "$work/whole"
if grep -qE '^  lesion$' "$work/output" && grep -qE '^  values of mr, 0 black to 1 white: median' "$work/output" && grep -qE '^  train-00000.h5 +3 ' "$work/output"; then
    ok "counts, values and shards are shown"
else
    not_ok "counts, values and shards are shown"
fi

# Identical images: under another name, patient and label.
first=$(sed -n 2p "$work/images/labels.csv")
cp "$work/images/${first%%,*}" "$work/images/again.tif"
case $first in *,0,*) label=1 ;; *) label=0 ;; esac
echo "again.tif,$label,ct,stranger" >> "$work/images/labels.csv"
check "identical images are packed" pack --out "$work/twice"
if grep -q '^repeated  *1 file has' "$work/output" && grep -q 'A0815' "$work/output" && grep -q 'A0816' "$work/output"; then
    ok "and reported, with what they contradict"
else
    not_ok "and reported, with what they contradict"
    sed 's/^/    /' "$work/output"
fi
check "or dropped" pack --out "$work/once" --duplicates drop
grep -q '^packed  *60 samples of 60 files' "$work/output" && ok "one of each is left" || not_ok "one of each is left"
[ "$failures" = 0 ]
