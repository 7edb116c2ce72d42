// Command load is both ends of the benchmark: a simulated OpenAI with no delay of its own and a
// load generator, closed-loop or open-loop. It knows wire formats and clocks; it knows no gateway by name.
//
//	load upstream --port-file F                       serve until SIGTERM
//	load http --url URL --body F [--stream] …         measure; print "begin", then one JSON object
//	load grpc --address A --method M --message F …    the same over gRPC, with a message encoded before
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"
)

// common are the flags that every load has.
type common struct {
	connections int
	rate        float64
	requests    int64
	duration    time.Duration
	warmup      int
	stream      bool
	bearerFile  string
	caFile      string
	certFile    string
	keyFile     string
	procs       int
}

func (c *common) register(flags *flag.FlagSet) {
	flags.IntVar(&c.connections, "connections", 1, "connections, each with one call in flight")
	flags.Float64Var(&c.rate, "rate", 0, "calls that arrive in a second, however long others take (open loop); 0: each connection calls again at once")
	flags.Int64Var(&c.requests, "requests", 0, "stop after this many calls; 0: by --duration alone")
	flags.DurationVar(&c.duration, "duration", 5*time.Second, "start no call after this long")
	flags.IntVar(&c.warmup, "warmup", 1, "uncounted calls on each connection before the clock starts")
	flags.BoolVar(&c.stream, "stream", false, "read a stream to its end and count its events")
	flags.StringVar(&c.bearerFile, "bearer-file", "", "file that holds the bearer token")
	flags.StringVar(&c.caFile, "ca", "", "PEM file: trust these CAs and use TLS")
	flags.StringVar(&c.certFile, "cert", "", "PEM file: client certificate")
	flags.StringVar(&c.keyFile, "key", "", "PEM file: client key")
	flags.IntVar(&c.procs, "procs", 1, "GOMAXPROCS")
}

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("name a sub-command: upstream, http or grpc"))
	}
	commands := map[string]func([]string) error{"upstream": upstreamMain, "http": httpMain, "grpc": grpcMain}
	command, known := commands[os.Args[1]]
	if !known {
		fail(fmt.Errorf("unknown sub-command %q: use upstream, http or grpc", os.Args[1]))
	}
	if err := command(os.Args[2:]); err != nil {
		fail(err)
	}
}

// measure runs the load and prints its report as JSON on standard output.
func measure(options *common, dial dialer) error {
	runtime.GOMAXPROCS(options.procs)
	report, err := run(options, dial)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "load:", err)
	os.Exit(1)
}
