package main

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// dialsAtOnce bounds concurrent handshakes, so that 1,000 connections do not meet a full backlog.
const dialsAtOnce = 32

// pauseAfterError keeps a dead gateway from turning the loop into a busy one.
const pauseAfterError = 10 * time.Millisecond

// caller makes one call at a time over one connection. A call that failed may leave it unusable: the
// next call must then connect again.
type caller interface {
	call(seen *observation) error
	close()
}

// dialer connects once; it may be called concurrently.
type dialer func() (caller, error)

// observation is what one call fills in. Zero times mean: did not happen.
type observation struct {
	events     int
	firstEvent int64 // monotonic, when the first event was whole
	firstSent  int64 // monotonic, when upstream says it sent that event
}

// note records one whole event that has just arrived.
func (o *observation) note(event []byte) {
	if o.events == 0 {
		o.firstEvent = monotonic()
		o.firstSent, _ = sentAt(event)
	}
	o.events++
}

// overloadedError is a refusal of a gateway that has too much to do: HTTP 503, or RESOURCE_EXHAUSTED.
type overloadedError struct{ text string }

func (e overloadedError) Error() string { return e.text }

// beginMark is printed when the measurement begins, so that the harness reads the gateway's CPU time
// without connecting and warming up.
const beginMark = "begin"

// load is one run's shared state.
type load struct {
	options *common
	started atomic.Int64
	begin   int64
	samples []sample
}

// sample is what one connection measured. Latencies are nanoseconds.
type sample struct {
	latency    []int64
	firstEvent []int64 // since the call began
	firstDelay []int64 // since upstream sent it
	refused    []int64 // of calls that met an overloadedError
	events     int64
	errors     int64
	firstError string
}

// run connects, warms up, measures and summarises. It fails only where a connection or its warm-up does.
func run(options *common, dial dialer) (*report, error) {
	callers, err := connect(options, dial)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, each := range callers {
			each.close()
		}
	}()
	this := &load{options: options, samples: make([]sample, len(callers))}
	fmt.Println(beginMark)
	cpu := cpuUsed()
	this.begin = monotonic()
	var all sync.WaitGroup
	arrivals := this.arrivals()
	for i, each := range callers {
		all.Add(1)
		go func() {
			defer all.Done()
			if arrivals == nil {
				this.repeat(each, &this.samples[i])
			} else {
				this.serve(arrivals, each, &this.samples[i])
			}
		}()
	}
	all.Wait()
	elapsed := time.Duration(monotonic() - this.begin)
	return summarise(this.samples, elapsed, cpuUsed()-cpu), nil
}

// connect dials every connection and makes its warm-up calls. The first failure ends it.
func connect(options *common, dial dialer) ([]caller, error) {
	callers := make([]caller, options.connections)
	failures := make(chan error, options.connections)
	slots := make(chan struct{}, dialsAtOnce)
	for i := range callers {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			var err error
			if callers[i], err = dial(); err == nil {
				err = warm(callers[i], options.warmup)
			}
			failures <- err
		}()
	}
	for range callers {
		if err := <-failures; err != nil {
			return nil, fmt.Errorf("warm-up: %w", err)
		}
	}
	return callers, nil
}

func warm(each caller, calls int) error {
	for range calls {
		if err := each.call(&observation{}); err != nil {
			return err
		}
	}
	return nil
}

// repeat makes calls, one after the other, until the run is over.
func (l *load) repeat(each caller, into *sample) {
	for l.mayStart() {
		if !into.observe(each, monotonic()) {
			time.Sleep(pauseAfterError)
		}
	}
}

// serve makes the calls that arrive, each measured from its arrival: that it waited for a connection counts.
func (l *load) serve(arrivals <-chan int64, each caller, into *sample) {
	for arrival := range arrivals {
		into.observe(each, arrival)
	}
}

// observe makes one call that begins at a time, and says whether it was answered.
func (s *sample) observe(each caller, begin int64) bool {
	var seen observation
	err := each.call(&seen)
	var overloaded overloadedError
	switch {
	case err == nil:
		s.add(begin, monotonic(), &seen)
	case errors.As(err, &overloaded):
		s.refused = append(s.refused, monotonic()-begin)
	default:
		s.fail(err)
	}
	return err == nil
}

func (l *load) mayStart() bool {
	if monotonic()-l.begin >= int64(l.options.duration) {
		return false
	}
	return l.options.requests == 0 || l.started.Add(1) <= l.options.requests
}

func (s *sample) fail(err error) {
	s.errors++
	if s.firstError == "" {
		s.firstError = err.Error()
	}
}

func (s *sample) add(begin, end int64, seen *observation) {
	s.latency = append(s.latency, end-begin)
	s.events += int64(seen.events)
	if seen.firstEvent > 0 {
		s.firstEvent = append(s.firstEvent, seen.firstEvent-begin)
	}
	if seen.firstSent > 0 {
		s.firstDelay = append(s.firstDelay, seen.firstEvent-seen.firstSent)
	}
}
