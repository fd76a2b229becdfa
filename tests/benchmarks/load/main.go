// Command load gives a registry work and says as JSON how long each piece took.
//
//	load ask  [flags] PATH…   the same requests over and over, each connection one at a time
//	load push [flags]         blobs by POST, one chunked PATCH, PUT
//	load answer -address …    no work, but a registry that keeps nothing, until it is killed
//
// It is cheap, so that on a small machine the registry's speed is measured and not its own: `ask` writes requests that
// are made once, and parses no more of an answer than its status and its length.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Result is what is printed. Latencies are in microseconds.
type Result struct {
	Requests int     `json:"requests"`
	Failures int     `json:"failures"`
	Failure  string  `json:"failure,omitempty"`
	Bytes    int64   `json:"bytes"`
	Seconds  float64 `json:"seconds"`
	P50      float64 `json:"p50"`
	P99      float64 `json:"p99"`
}

// Tally is what one connection measured.
type Tally struct {
	latencies []time.Duration
	bytes     int64
	failures  int
	failure   string
}

func (tally *Tally) fail(why string) {
	tally.failures++
	tally.failure = why
}

func sum(tallies []Tally, took time.Duration) Result {
	var result Result
	var all []time.Duration
	for _, tally := range tallies {
		all = append(all, tally.latencies...)
		result.Bytes += tally.bytes
		result.Failures += tally.failures
		if tally.failure != "" {
			result.Failure = tally.failure
		}
	}
	slices.Sort(all)
	result.Requests, result.Seconds = len(all), took.Seconds()
	if len(all) > 0 {
		result.P50 = float64(all[len(all)/2].Nanoseconds()) / 1000
		result.P99 = float64(all[len(all)*99/100].Nanoseconds()) / 1000
	}
	return result
}

// headers is a flag that may be given many times.
type headers []string

func (all *headers) String() string { return strings.Join(*all, "\r\n") }

func (all *headers) Set(line string) error {
	*all = append(*all, line)
	return nil
}

// Work is what the flags say.
type Work struct {
	address     string
	connections int
	headers     headers

	method  string
	count   int
	seconds float64
	paths   []string

	repository string
	size       int64
}

func main() {
	if len(os.Args) < 2 {
		fail("load ask|push|answer [flags]")
	}
	var work Work
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&work.address, "address", "", "HOST:PORT")
	flags.IntVar(&work.connections, "connections", 1, "how many at a time")
	flags.Var(&work.headers, "header", "a line of each request; may be given many times")
	flags.IntVar(&work.count, "count", 0, "how many in all, instead of -seconds")
	flags.Float64Var(&work.seconds, "seconds", 5, "how long (ask)")
	flags.StringVar(&work.method, "method", "GET", "(ask)")
	flags.StringVar(&work.repository, "repository", "bench", "(push)")
	flags.Int64Var(&work.size, "size", 1<<20, "bytes of a blob (push)")
	if err := flags.Parse(os.Args[2:]); err != nil {
		fail(err.Error())
	}
	work.paths = flags.Args()
	var result Result
	switch os.Args[1] {
	case "ask":
		result = ask(work)
	case "push":
		result = push(work)
	case "answer":
		answer(work.address)
	default:
		fail("load ask|push|answer [flags]")
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fail(err.Error())
	}
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}
