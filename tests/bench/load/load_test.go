package main

import (
	"bufio"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
)

var answer = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" +
	chunked("data: {\"x\":\"fp_12\"}\n\ndata: {\"y", "\":1}\n\n", "data: [DONE]\n\n", "")

func chunked(parts ...string) string {
	var wire strings.Builder
	for _, part := range parts {
		fmt.Fprintf(&wire, "%x\r\n%s\r\n", len(part), part)
	}
	return wire.String()
}

// However small the parts in which an answer arrives, its events are the same.
func TestEventsAreCountedHoweverTheyAreSplit(t *testing.T) {
	for _, size := range []int{64, 4096} {
		byByte := iotest.OneByteReader(strings.NewReader(answer))
		client := &httpCaller{stream: true, reader: bufio.NewReaderSize(byByte, size)}
		var seen observation
		keep, err := client.answer(&seen)
		if err != nil || !keep {
			t.Fatalf("buffer %d: keep %v, %v", size, keep, err)
		}
		if seen.events != 2 || seen.firstSent != 12 {
			t.Fatalf("buffer %d: %d events, first sent at %d", size, seen.events, seen.firstSent)
		}
	}
}

func TestStreamWithoutDoneIsAnError(t *testing.T) {
	cut := strings.Replace(answer, "[DONE]", "[EONE]", 1)
	client := &httpCaller{stream: true, reader: bufio.NewReader(strings.NewReader(cut))}
	if _, err := client.answer(&observation{}); err == nil {
		t.Fatal("a cut stream counted as a call")
	}
}

func TestRefusalIsAnErrorWithItsBody(t *testing.T) {
	refusal := "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\nConnection: close\r\n\r\nslow"
	client := &httpCaller{reader: bufio.NewReader(strings.NewReader(refusal))}
	keep, err := client.answer(&observation{})
	if err == nil || err.Error() != "HTTP 429: slow" || keep {
		t.Fatalf("keep %v, %v", keep, err)
	}
}

func TestNoTwoCallsAreTheSame(t *testing.T) {
	template := "say " + string(mark) + " for " + string(mark)
	calls, err := uniqueOf([]byte(template))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 1000 {
		said := string(calls.next())
		word := said[4 : 4+len(mark)]
		if seen[said] || said != "say "+word+" for "+word || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") != "" {
			t.Fatalf("%q", said)
		}
		seen[said] = true
	}
}

func TestARequestWithoutAMarkIsRefused(t *testing.T) {
	if _, err := uniqueOf([]byte(`{"model":"x"}`)); err == nil {
		t.Fatal("every call would be the same")
	}
}

func TestQuantilesAreNearestRanks(t *testing.T) {
	var hundred []int64
	for i := int64(100); i > 0; i-- {
		hundred = append(hundred, i*1000)
	}
	if got := spreadOf(hundred); got.P50 != 50 || got.P99 != 99 || got.Max != 100 {
		t.Fatalf("%+v", got)
	}
	if spreadOf(nil) != nil {
		t.Fatal("a spread of nothing")
	}
}
