package main

import (
	"slices"
	"time"
)

// spread summarises a distribution, in microseconds. Absent where nothing was measured.
type spread struct {
	P50 float64 `json:"p50_us"`
	P99 float64 `json:"p99_us"`
	Max float64 `json:"max_us"`
}

// report is what a load prints. CPUSeconds is the load generator's own use, to show that it was not
// the bottleneck: it has --procs cores to use in Seconds.
type report struct {
	Requests   int64   `json:"requests"`
	Refused    int64   `json:"refused"`
	Errors     int64   `json:"errors"`
	FirstError string  `json:"first_error,omitempty"`
	Seconds    float64 `json:"seconds"`
	Rate       float64 `json:"requests_per_second"`
	Events     int64   `json:"events"`
	Latency    *spread `json:"latency,omitempty"`
	FirstEvent *spread `json:"first_event,omitempty"`
	FirstDelay *spread `json:"first_event_after_sent,omitempty"`
	Refusals   *spread `json:"refusals,omitempty"`
	CPUSeconds float64 `json:"cpu_seconds"`
}

func summarise(samples []sample, elapsed, cpu time.Duration) *report {
	var latency, firstEvent, firstDelay, refused []int64
	result := &report{Seconds: elapsed.Seconds(), CPUSeconds: cpu.Seconds()}
	for _, each := range samples {
		latency = append(latency, each.latency...)
		firstEvent = append(firstEvent, each.firstEvent...)
		firstDelay = append(firstDelay, each.firstDelay...)
		refused = append(refused, each.refused...)
		result.Events += each.events
		result.Errors += each.errors
		if result.FirstError == "" {
			result.FirstError = each.firstError
		}
	}
	result.Requests = int64(len(latency))
	result.Refused = int64(len(refused))
	result.Refusals = spreadOf(refused)
	result.Rate = float64(result.Requests) / elapsed.Seconds()
	result.Latency = spreadOf(latency)
	result.FirstEvent = spreadOf(firstEvent)
	result.FirstDelay = spreadOf(firstDelay)
	return result
}

// spreadOf sorts in place. The quantile is the nearest rank: p99 of 100 values is the 99th.
func spreadOf(nanoseconds []int64) *spread {
	if len(nanoseconds) == 0 {
		return nil
	}
	slices.Sort(nanoseconds)
	rank := func(percent int) float64 {
		index := (len(nanoseconds)*percent+99)/100 - 1
		return float64(nanoseconds[max(index, 0)]) / 1000
	}
	return &spread{P50: rank(50), P99: rank(99), Max: rank(100)}
}
