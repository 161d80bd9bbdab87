#!/bin/sh
# `make instructions`: instructions for one 720p frame, hop by hop, counted by valgrind's callgrind. The result does not depend on what else
# the machine does; it does on the libraries and on the instruction set that valgrind shows them (3.19: no AVX-512).
set -eu
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
# Large copies by vector instructions: valgrind counts `rep movsb` as an instruction for each byte.
export GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=1073741824:glibc.cpu.x86_rep_stosb_threshold=1073741824
counted=$(valgrind --quiet --tool=callgrind --callgrind-out-file="$folder/counts" --toggle-collect='reframe_instructions::count*' \
    target/release/reframe-instructions)
# It complains of functions that were not counted.
callgrind_annotate --inclusive=yes --threshold=100 "$folder/counts" >"$folder/functions" 2>"$folder/complaints"
echo "$counted" | awk '
    # The program says how much was counted.
    FILENAME == "-" { counted[$1] = $2; next }
    match($0, /reframe_instructions::(step::)?[a-z0-9_]+/) {
        name = substr($0, RSTART, RLENGTH)
        sub(/.*::/, "", name)
        gsub(/,/, "", $1)
        instructions[name] += $1
    }
    function row(label, count) { printf "%-44s %12d %7.2f %%\n", label, count / counted["frames"], 100 * count / codecs }
    function step(label, name) { row(label, instructions[name]); way += instructions[name] }
    END {
        codecs = instructions["decode"] + instructions["encode"]
        if (!codecs) { print "nothing was counted: has a function been renamed?" >"/dev/stderr"; exit 1 }
        printf "%d frames of 1280x720, VP8, %d packets in\n\n", counted["frames"], counted["packets"]
        printf "%-44s %12s %9s\n", "", "a frame", "of codecs"
        step("1  SRTP to RTP", "unprotect")
        step("2  packets to access unit", "assemble")
        step("2  decode, with the copy out of the decoder", "decode")
        step("3, 4  queue, message", "send")
        step("5  message", "worker_in")
        step("6  I420 to RGB24", "to_rgb")
        step("6  flip, RGB24", "handler")
        step("6  RGB24 to I420", "to_i420")
        step("6  answer", "worker_out")
        step("7  answer", "receive")
        step("8  pacer", "pace")
        step("9  encode", "encode")
        step("9  access unit to packets", "packetise")
        step("10 RTP to SRTP", "protect")
        row("all", way)
        row("without the codecs", way - codecs)
        row("without codecs, conversion and handler", \
            way - codecs - instructions["to_rgb"] - instructions["handler"] - instructions["to_i420"])
        printf "\nbeside it, where the worker is elsewhere:\n"
        row("gRPC message to the worker, both ends", instructions["grpc_to_worker"])
        row("gRPC message back, both ends", instructions["grpc_to_gateway"])
    }' - "$folder/functions"
