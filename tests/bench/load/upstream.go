package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

const modelName = "gpt-4o-mini"

// settings are what a measurement may change while the upstream runs: POST /-/settings.
type settings struct {
	Events  int     `json:"events"`         // content chunks in a stream
	DelayMS float64 `json:"event_delay_ms"` // before each of them
}

// stats are what it counted: GET /-/stats.
type stats struct {
	Requests    int64   `json:"requests"`
	OpenStreams int64   `json:"open_streams"`
	CPUSeconds  float64 `json:"cpu_seconds"`
}

// upstream is a simulated OpenAI that answers at once. It accepts any bearer.
type upstream struct {
	shape       atomic.Pointer[settings]
	requests    atomic.Int64
	openStreams atomic.Int64
}

func upstreamMain(arguments []string) error {
	flags := flag.NewFlagSet("upstream", flag.ExitOnError)
	portFile := flags.String("port-file", "", "write the port here once it listens")
	procs := flags.Int("procs", 1, "GOMAXPROCS")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	runtime.GOMAXPROCS(*procs)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: newUpstream().routes()}
	go stopOnSignal(server)
	if err := announce(*portFile, listener.Addr().(*net.TCPAddr).Port); err != nil {
		return err
	}
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}

func stopOnSignal(server *http.Server) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	<-ctx.Done()
	_ = server.Close()
}

// announce writes the port atomically: a reader never sees half a number.
func announce(path string, port int) error {
	if err := os.WriteFile(path+".new", []byte(strconv.Itoa(port)), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func newUpstream() *upstream {
	this := &upstream{}
	this.shape.Store(&settings{Events: 50})
	return this
}

func (u *upstream) routes() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("POST /v1/chat/completions", u.chat)
	routes.HandleFunc("GET /v1/models", u.models)
	routes.HandleFunc("POST /-/settings", u.set)
	routes.HandleFunc("GET /-/stats", u.stats)
	return routes
}

func (u *upstream) set(writer http.ResponseWriter, request *http.Request) {
	next := settings{Events: 50}
	if err := json.NewDecoder(request.Body).Decode(&next); err != nil {
		http.Error(writer, err.Error(), http.StatusBadRequest)
		return
	}
	u.shape.Store(&next)
	writer.WriteHeader(http.StatusNoContent)
}

func (u *upstream) stats(writer http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(writer).Encode(stats{u.requests.Load(), u.openStreams.Load(), cpuUsed().Seconds()})
}

func (u *upstream) models(writer http.ResponseWriter, _ *http.Request) {
	writer.Header().Set("content-type", "application/json")
	fmt.Fprintf(writer, `{"object":"list","data":[{"id":%q,"object":"model","created":1721172741,"owned_by":"system"}]}`, modelName)
}

// asked is the part of a chat request that changes the answer's form.
type asked struct {
	Stream        bool `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

func (u *upstream) chat(writer http.ResponseWriter, request *http.Request) {
	number := u.requests.Add(1)
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	var want asked
	if err := json.Unmarshal(body, &want); err != nil {
		http.Error(writer, `{"error":{"message":"not JSON","type":"invalid_request_error"}}`, http.StatusBadRequest)
		return
	}
	header := writer.Header()
	header.Set("x-request-id", fmt.Sprintf("req_%032d", number))
	header.Set("openai-processing-ms", "0")
	header.Set("openai-version", "2020-10-01")
	if want.Stream {
		u.stream(writer, request.Context(), number, want.StreamOptions.IncludeUsage)
		return
	}
	header.Set("content-type", "application/json")
	_, _ = writer.Write(completion(number))
}

func (u *upstream) stream(writer http.ResponseWriter, ctx context.Context, number int64, usage bool) {
	u.openStreams.Add(1)
	defer u.openStreams.Add(-1)
	shape := u.shape.Load()
	writer.Header().Set("content-type", "text/event-stream; charset=utf-8")
	flusher := writer.(http.Flusher)
	for i := range shape.Events {
		if !pause(ctx, shape.DelayMS) {
			return
		}
		_, _ = writer.Write(chunk(number, i, shape.Events))
		flusher.Flush()
	}
	if usage {
		_, _ = writer.Write(usageChunk(number, shape.Events))
		flusher.Flush()
	}
	_, _ = writer.Write([]byte("data: [DONE]\n\n"))
}

// pause waits; false when the caller went away meanwhile.
func pause(ctx context.Context, milliseconds float64) bool {
	if milliseconds <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(time.Duration(milliseconds * float64(time.Millisecond)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
