#!/usr/bin/env bash
# Shows by curl what a request flow answers: each status code and header that
# request-flows.md promises, from a web process whose jobs run in another.
#
#   docs/request-flows.sh BINARY STORE
#
# BINARY is the command offstage, STORE an SQLite file or postgres://… of which
# the demo may use everything. It ends with 1 if anything is not as promised.
set -euo pipefail
binary=$1 store=$2
work=$(mktemp -d)
web='' worker='' failed=0 checks=0
trap 'kill $web $worker 2>/dev/null || true; wait; rm -rf "$work"' EXIT

printf 'a,b\n1,2\n3,4\n' >"$work/a.csv"
printf 'a,b\n1,2\n3,5\n' >"$work/b.csv"
head -c 2000000 /dev/zero | tr '\0' 7 >"$work/large.csv"

"$binary" demo --role web --addr 127.0.0.1:0 --max-upload 500KB --store "$store" --data "$work/data" >"$work/said" 2>&1 &
web=$!
for _ in $(seq 100); do
	url=$(sed -n 's/^ *open *//p' "$work/said")
	[ -n "$url" ] && break
	sleep 0.1
done
if [ -z "$url" ]; then
	cat "$work/said"
	exit 1
fi

# ask STATUS WHAT CURL-ARGUMENTS... sends a request and checks the answer's code.
ask() {
	local want=$1 what=$2 got
	shift 2
	got=$(curl -s -o "$work/body" -D "$work/head" -w '%{http_code}' --max-time 60 "$@") || true
	verdict "$([ "$got" = "$want" ] && echo yes)" "$got" "$what"
}

# has PATTERN checks that a header of the latest answer matches; lacks, that none does.
has() { verdict "$(tr -d '\r' <"$work/head" | grep -qiE "^$1\$" && echo yes)" '   ' "$1"; }
lacks() { verdict "$(grep -qi "^$1:" "$work/head" || echo yes)" '   ' "no $1"; }

# says PATTERN checks that the latest answer's body matches.
says() { verdict "$(grep -qE "$1" "$work/body" && echo yes)" '   ' "body: $1"; }

verdict() {
	checks=$((checks + 1))
	if [ "$1" = yes ]; then
		printf 'ok    %s %s\n' "$2" "$3"
	else
		printf 'WRONG %s %s\n' "$2" "$3"
		failed=$((failed + 1))
		sed 's/^/        /' "$work/head"
		head -c 300 "$work/body" | sed 's/^/        /'
	fi
}

header() { tr -d '\r' <"$work/head" | sed -n "s/^$1: //Ip"; }
key256=$(printf 'k%.0s' $(seq 256))
json='Accept: application/json'

echo '== before there is a worker'
ask 202 'a report, respond-async, with a key' -F "file=@$work/a.csv" -H 'Prefer: respond-async' -H 'Idempotency-Key: "one"' "$url/reports"
has 'location: /status/.+'
has 'retry-after: [0-9]+'
has 'preference-applied: respond-async'
has 'vary: .*prefer.*'
says '"state":"ready"'
first=$(header location)
ask 202 'the same again, while it waits' -F "file=@$work/a.csv" -H 'Idempotency-Key: one' "$url/reports"
has "location: $first"
has 'idempotency-replayed: true'
ask 422 'other content under the same key' -F "file=@$work/b.csv" -H 'Idempotency-Key: one' "$url/reports"
ask 400 'a key of 256 characters' -F "file=@$work/a.csv" -H "Idempotency-Key: $key256" "$url/reports"
ask 400 'an empty key' -F "file=@$work/a.csv" -H 'Idempotency-Key;' "$url/reports"
ask 202 'wait=1, which is not enough' -F "file=@$work/a.csv" -H 'Prefer: wait=1' "$url/reports"
has 'preference-applied: wait=1'
second=$(header location)
ask 202 'no preference: at once' -F "file=@$work/a.csv" "$url/reports"
lacks preference-applied
third=$(header location)
ask 303 'a browser is led to the page' -F "file=@$work/a.csv" -H 'Accept: text/html' "$url/reports"
has 'location: /status/.+'
ask 200 'the status as JSON' -H "$json" "$url$second"
has 'content-type: application/json'
has 'etag: W/".+"'
has 'retry-after: [0-9]+'
says '"position":\{"ahead":[0-9]+,"more":false\}'
ask 304 'the same, known' -H "$json" -H "If-None-Match: $(header etag)" "$url$second"
ask 200 'the status as a page' -H 'Accept: text/html' "$url$second"
has 'content-type: text/html; charset=utf-8'
ask 200 'no result yet: no redirect' -H "$json" "$url$second?redirect=result"
ask 200 'its user cancels it' -X POST -H "$json" "$url$second/cancel"
says '"state":"cancelled"'
ask 413 'an upload of 2 MB' -F "file=@$work/large.csv" "$url/reports"
ask 404 'a link that nobody made' "$url/status/AAAA"
ask 404 'a link with one letter changed' "$url${first%?}~"
ask 404 'a link of 5,000 letters' "$url/status/$(printf 'A%.0s' $(seq 5000))"
curl -s -o /dev/null -F "file=@$work/a.csv" "$url/reports?[1-60]"
ask 429 'the queue is full' -F "file=@$work/a.csv" "$url/reports"
has 'retry-after: [0-9]+'
lacks location

echo '== with a worker'
"$binary" demo --role worker --store "$store" --data "$work/data" >"$work/worker" 2>&1 &
worker=$!
ask 200 'the events of a job that waits, to its end' -N "$url$first/events"
has 'content-type: text/event-stream'
has 'cache-control: no-store'
says '^id: '
says '^event: state'
says '^event: end'
verdict "$([ "$(grep -c '^event: end' "$work/body")" = 1 ] && [ "$(grep '^event: ' "$work/body" | tail -n 1)" = 'event: end' ] && echo yes)" '   ' 'the end comes last, once'
end=$(sed -n 's/^id: //p' "$work/body" | tail -n 1)
ask 204 'connected again after the end' -H "Last-Event-ID: $end" "$url$first/events"
ask 200 'the events of a job that has ended' -N "$url$first/events"
verdict "$([ "$(grep '^event: ' "$work/body" | tr '\n' ' ')" = 'event: state event: end ' ] && echo yes)" '   ' 'state, then end'
ask 200 'an id that nobody gave' -N -H 'Last-Event-ID: 1.9.end' "$url$first/events"
says '^event: reset'
ask 200 'the status of a job that has ended' -H "$json" "$url$first"
says '"state":"completed"'
lacks retry-after
file=$(sed -E 's/.*"files":\[\{[^]]*"url":"([^"]*)".*/\1/' "$work/body")
result=$(sed -E 's/.*"result":"([^"]*)".*/\1/' "$work/body")
ask 303 'led to the result' -H "$json" "$url$first?redirect=result"
has "location: $result"
ask 200 'the result' "$url$result"
says '"rows":2'
ask 200 'the file' "$url$file"
has 'content-type: text/html; charset=utf-8'
has 'content-disposition: attachment.*'
has 'accept-ranges: bytes'
ask 206 'a part of it' -H 'Range: bytes=0-14' "$url$file"
has 'content-range: bytes 0-14/[0-9]+'
for name in ..%2f..%2foffstage.db %2e%2e ..%5ca.html .type-a.csv.html a.csv.html%00; do
	ask 404 "the file $name" --path-as-is "$url${file%/*}/$name"
done
ask 404 'a file by the link of its job' "$url$first/files/a.csv.html"
ask 200 'a long poll until the end' -H "$json" "$url$third?wait=30"
says '"state":"completed"'
# The length of the queue is known for a quarter of a second: who is refused comes back.
ask 200 'wait=25: the result, when there is room' --retry 5 -F "file=@$work/b.csv" -H 'Prefer: wait=25' "$url/reports"
has 'preference-applied: wait=25'
has 'content-location: /status/.+'
says '"rows":2'
ask 202 'the first request again, after its end' -F "file=@$work/a.csv" -H 'Prefer: respond-async' -H 'Idempotency-Key: one' "$url/reports"
has "location: $first"
ask 409 'it cannot be cancelled any more' -X POST "$url$first/cancel"
ask 200 'the job' -H "$json" "$url$first"
id=$(sed -E 's/^\{"id":"?([0-9]+).*/\1/' "$work/body")
curl -s -o /dev/null -X POST "$url/jobs/$id/delete"
ask 410 'the status of a job that is gone' -H "$json" "$url$first"
ask 410 'its events' "$url$first/events"
ask 410 'its file' "$url$file"

printf '%d checks, %d wrong\n' "$checks" "$failed"
[ "$failed" = 0 ]
