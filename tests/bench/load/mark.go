package main

import (
	"bytes"
	"fmt"
	"sync/atomic"
)

// mark stands in a request where calls shall differ, at least once: letters of the same number take its place in
// every call, so that nobody is measured on what he has answered before.
var mark = []byte("qqqqqqqqqqqq")

// numbered counts the calls of this process. It begins with the clock: no two runs say the same.
var numbered atomic.Int64

func init() { numbered.Store(monotonic()) }

// unique is a request that is another one in every call. For one caller at a time.
type unique struct {
	bytes  []byte
	places []int
}

func uniqueOf(template []byte) (*unique, error) {
	this := &unique{bytes: bytes.Clone(template)}
	for at := 0; ; at += len(mark) {
		found := bytes.Index(template[at:], mark)
		if found < 0 {
			break
		}
		at += found
		this.places = append(this.places, at)
	}
	if len(this.places) == 0 {
		return nil, fmt.Errorf("the request holds no %q: every call would be the same", mark)
	}
	return this, nil
}

// next is the request of the next call; what was returned before is changed by it.
func (u *unique) next() []byte {
	number := numbered.Add(1)
	for i := len(mark) - 1; i >= 0; i-- {
		for _, at := range u.places {
			u.bytes[at+i] = 'a' + byte(number%26)
		}
		number /= 26
	}
	return u.bytes
}
