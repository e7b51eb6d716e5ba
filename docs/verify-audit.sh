#!/bin/sh
# Verifies an export of Renkei Gateway's audit record with sha256sum and openssl alone (docs/audit.md describes the format).
#
#   sh verify-audit.sh EXPORT KEY.pem [-o CHECKPOINTS] [-t TSA-CA.pem]
#
#   EXPORT          the folder: chain.txt, checkpoints.txt and, for time stamps, timestamps/
#   KEY.pem         the public key that you were given at the beginning (renkei audit key), by another way than the export
#   -o CHECKPOINTS  a file of checkpoints that was kept elsewhere: shows an export that was cut off together with its own checkpoints
#   -t TSA-CA.pem   the authority of the time stamps, which are then verified too
#
# Needs a POSIX shell with awk, sha256sum and openssl. Ends with 0 if all is well; otherwise says what is not, and ends with 1.

set -eu
LC_ALL=C
export LC_ALL

usage() { printf 'usage: sh verify-audit.sh EXPORT KEY.pem [-o CHECKPOINTS] [-t TSA-CA.pem]\n' >&2; exit 2; }
[ $# -ge 2 ] || usage
export_folder=$1
pinned=$2
shift 2
outside=
authority=
while [ $# -gt 0 ]; do
    case $1 in
        -o) [ $# -ge 2 ] || usage; outside=$2; shift 2 ;;
        -t) [ $# -ge 2 ] || usage; authority=$2; shift 2 ;;
        *) usage ;;
    esac
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
wrong() { printf 'WRONG: %s\n' "$*"; status=1; }
field() { awk -v name="$1" '$1 == name { print $2; exit }' "$2"; }
digest_of() { sha256sum "$1" | cut -d ' ' -f 1; }

# 1. The digest of each block: SHA-256 of its part of chain.txt, from the line "block N" to the one before the next such line.
awk '/^block / { if (open) close("sha256sum"); open = 1 } { print | "sha256sum" }' "$export_folder/chain.txt" | cut -d ' ' -f 1 >"$work/digests"
awk '/^block / { print $2 }' "$export_folder/chain.txt" >"$work/numbers"
awk '/^previous / { print $2 }' "$export_folder/chain.txt" >"$work/previous"
awk '/^entries / { print $2 }' "$export_folder/chain.txt" >"$work/entries"
blocks=$(wc -l <"$work/digests" | tr -d ' ')
entries=$(awk '{ sum += $1 } END { print sum + 0 }' "$work/entries")

# 2. Each block names the digest of the one before, and their numbers have no gap.
paste -d ' ' "$work/numbers" "$work/previous" "$work/digests" >"$work/chain"
awk 'NR > 1 && $1 != number + 1 { print "block " $1 " stands behind block " number }
     NR > 1 && $2 != digest { print "block " number " is not what block " $1 " names: it was changed, or blocks are missing" }
     { number = $1; digest = $3 }' "$work/chain" >"$work/links"
while read -r line; do wrong "$line"; done <"$work/links"
[ "$(wc -l <"$work/previous" | tr -d ' ')" = "$blocks" ] || wrong "chain.txt holds something that is no block"
last=$(tail -n 1 "$work/numbers")

# 3. The checkpoints: one after the other, each signed by the key that was given, or by one that a key before has announced.
cp "$export_folder/checkpoints.txt" "$work/own"
split_checkpoints() { # FILE PREFIX
    awk -v prefix="$2" 'BEGIN { RS = ""; FS = "\n" }
        $NF == "cut off" { next }  # a write that a crash cut short; what it said follows again
        { number = $1; sub(/^renkei audit checkpoint /, "", number)
          if (number !~ /^[0-9]+$/) { print "?" ; next }
          text = prefix "." number ".text"; signature = prefix "." number ".signature"
          printf "" >text
          for (i = 1; i <= NF; i++) if ($i ~ /^signature /) print substr($i, 11) >signature; else if ($i != "") print $i >text
          close(text); close(signature); print number }' "$1"
}
split_checkpoints "$work/own" "$work/own-checkpoint" >"$work/own-numbers"
cp "$work/own-numbers" "$work/all-numbers"
if [ -n "$outside" ]; then
    split_checkpoints "$outside" "$work/outside-checkpoint" >>"$work/all-numbers"
fi
sort -n -u "$work/all-numbers" >"$work/checkpoints"

# a signed "restored" gives up the blocks behind its own that older checkpoints speak of
while read -r number; do
    for text in "$work/own-checkpoint.$number.text" "$work/outside-checkpoint.$number.text"; do
        if [ -e "$text" ] && [ "$(field reason "$text")" = "restored" ]; then
            printf '%s %s\n' "$number" "$(field block "$text")"
            break
        fi
    done
done <"$work/checkpoints" >"$work/restored"
[ ! -s "$work/restored" ] || printf 'the ledger was restored (checkpoint, goes on from block): %s\n' "$(tr '\n' ';' <"$work/restored")"

trusted=$(openssl pkey -pubin -in "$pinned" -outform DER | openssl base64 -A)
announced=
before=
signed=0
signed_at=
while read -r number; do
    if [ "$number" = "?" ]; then wrong "a part of checkpoints.txt is no checkpoint"; continue; fi
    text=$work/own-checkpoint.$number.text
    other=$work/outside-checkpoint.$number.text
    if [ ! -e "$text" ]; then
        text=$other
        wrong "checkpoint $number is missing in the export"
    elif [ -e "$other" ] && ! cmp -s "$text" "$other"; then
        wrong "checkpoint $number of the export is another than the one that was kept elsewhere"
    fi
    signature=${text%.text}.signature
    key=$(field key "$text")
    if [ "$key" != "$trusted" ] && [ "$key" != "$announced" ]; then
        wrong "checkpoint $number is signed by a key that was neither given nor announced"
    fi
    printf '%s' "$key" | openssl base64 -d -A 2>/dev/null | openssl pkey -pubin -inform DER -out "$work/key.pem" 2>/dev/null || : >"$work/key.pem"
    openssl base64 -d -A -in "$signature" -out "$work/signature" 2>/dev/null || : >"$work/signature"
    if ! openssl dgst -sha256 -verify "$work/key.pem" -signature "$work/signature" "$text" >/dev/null 2>&1; then
        wrong "checkpoint $number: its signature is not valid"
        before=
        continue
    fi
    if [ -n "$before" ] && { [ "$number" -ne $((before + 1)) ] || [ "$(field previous "$text")" != "$before_digest" ]; }; then
        wrong "checkpoint $number does not follow checkpoint $before"
    fi
    before=$number
    before_digest=$(digest_of "$text")
    next=$(field next-key "$text")
    [ "$next" = "-" ] || announced=$next
    block=$(field block "$text")
    if awk -v number="$number" -v block="$block" '$1 > number && $2 < block { found = 1 } END { exit !found }' "$work/restored"; then
        :  # of blocks that were lost
    elif [ "$block" -gt "${last:-0}" ]; then
        wrong "the chain is cut off: checkpoint $number names block $block"
    else
        found=$(awk -v block="$block" '$1 == block { print $3 }' "$work/chain")
        if [ -n "$found" ]; then
            if [ "$found" = "$(field digest "$text")" ]; then
                signed=$block
                signed_at=$(field at "$text")
            else
                wrong "block $block is not the one that checkpoint $number signed: the chain was changed between block $signed and block $block"
            fi
        fi
    fi
    if [ "$(head -n 1 "$work/numbers")" = 1 ]; then
        genesis=$(printf 'renkei audit chain %s\n' "$(field chain "$text")" | sha256sum | cut -d ' ' -f 1)
        [ "$genesis" = "$(head -n 1 "$work/previous")" ] || wrong "the first block does not begin the chain that checkpoint $number names"
    fi
    stamp=$export_folder/timestamps/$number.tsr
    if [ -n "$authority" ] && [ -e "$stamp" ]; then
        openssl ts -verify -data "$work/signature" -in "$stamp" -CAfile "$authority" >/dev/null 2>&1 \
            || wrong "checkpoint $number: its time stamp is not valid"
    fi
done <"$work/checkpoints"

printf '%s entries in %s blocks; signed to block %s (%s); the last block is %s\n' "$entries" "$blocks" "$signed" "${signed_at:--}" "${last:-0}"
[ "$status" -eq 0 ] && printf 'all is well\n'
exit "$status"
