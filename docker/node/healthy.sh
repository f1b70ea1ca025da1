#!/bin/bash
# Healthy is an Orthanc whose REST interface takes connections, and answers (by asking for a password) where it is plain HTTP.
set -eu
file=/configuration/orthanc.json
port=$(sed -n 's/.*"HttpPort": \([0-9]*\).*/\1/p' "$file")
exec 3<>"/dev/tcp/127.0.0.1/$port"
grep -q '"SslEnabled": true' "$file" && exit 0
printf 'GET /system HTTP/1.0\r\n\r\n' >&3
read -r -t 4 status <&3
[[ $status == "HTTP/1."*" 401 "* ]]
