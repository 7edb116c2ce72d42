package main

import (
	"bytes"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stampPrefix begins the upstream's send time inside an event: "system_fingerprint":"fp_<nanoseconds>".
// The field passes every gateway, and both ends read the machine's one CLOCK_MONOTONIC.
var stampPrefix = []byte(`fp_`)

// monotonic is CLOCK_MONOTONIC in nanoseconds, comparable between processes of this machine.
func monotonic() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err)
	}
	return now.Nano()
}

// sentAt reads the stamp in an event; false where it has none.
func sentAt(event []byte) (int64, bool) {
	at := bytes.Index(event, stampPrefix)
	if at < 0 {
		return 0, false
	}
	digits := event[at+len(stampPrefix):]
	end := 0
	for end < len(digits) && digits[end] >= '0' && digits[end] <= '9' {
		end++
	}
	stamp, err := strconv.ParseInt(string(digits[:end]), 10, 64)
	return stamp, err == nil
}

// cpuUsed is this process's user and system time so far.
func cpuUsed() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
