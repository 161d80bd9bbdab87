#!/bin/sh
# `make loadtest`: four streams of 720p30 for 20 s through `flip`, on free ports, with what the server used; it refuses none. Arguments are further options of
# reframe-loadtest; the last of two counts. The server runs as long as this.
set -eu
folder=$(mktemp -d)
mkfifo "$folder/announcements"
target/release/reframe-worker launch --demo flip --max-load 100 --http 127.0.0.1:0 --admin 127.0.0.1:0 >"$folder/announcements" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" || true; rm -r "$folder"' EXIT
# Stays open: the server may say more.
exec 3<"$folder/announcements"
page=
while [ -z "$page" ]; do
    # The end of the file: the server has ended, and said why.
    read -r line <&3
    case $line in "page "*) page=${line#page } ;; esac
done
target/release/reframe-loadtest "$page" --streams 4 --size 1280x720 --fps 30 --duration 20 --pid "$server" "$@"
