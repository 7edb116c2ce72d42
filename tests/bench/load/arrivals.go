package main

import (
	"math/rand/v2"
	"time"
)

// unbegun is how many arrivals may wait for a connection of the load generator; more would be its own queue.
const unbegun = 1 << 20

// paceSeed makes two runs arrive alike.
const paceSeed = 7

// arrivals are the times at which calls arrive: exponential gaps (Poisson), whatever became of those before.
// It is closed when the run is over; nil where the load is closed-loop.
func (l *load) arrivals() <-chan int64 {
	if l.options.rate == 0 {
		return nil
	}
	arriving := make(chan int64, unbegun)
	go func() {
		defer close(arriving)
		gaps := rand.New(rand.NewPCG(paceSeed, paceSeed))
		mean := float64(time.Second) / l.options.rate
		for next := l.begin; next-l.begin < int64(l.options.duration); {
			next += int64(gaps.ExpFloat64() * mean)
			if wait := time.Duration(next - monotonic()); wait > 0 {
				time.Sleep(wait)
			}
			arriving <- next
		}
	}()
	return arriving
}
