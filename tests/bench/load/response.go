package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// responseHead is what of a response's head decides how it is read. length -1: chunked.
type responseHead struct {
	status int
	length int
	keep   bool
}

func (c *httpCaller) readHead() (responseHead, error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return responseHead{}, err
	}
	head := responseHead{keep: true}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return head, fmt.Errorf("not an HTTP/1.1 status line: %q", line)
	}
	if head.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return head, err
	}
	for {
		line, err = c.reader.ReadSlice('\n')
		if err != nil {
			return head, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return head, nil
		}
		if err := head.field(line); err != nil {
			return head, err
		}
	}
}

func (h *responseHead) field(line []byte) (err error) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimSpace(value)
	switch {
	case bytes.EqualFold(name, []byte("content-length")):
		h.length, err = strconv.Atoi(string(value))
	case bytes.EqualFold(name, []byte("transfer-encoding")):
		h.length = -1
	case bytes.EqualFold(name, []byte("connection")):
		h.keep = !bytes.EqualFold(value, []byte("close"))
	}
	return err
}

func (c *httpCaller) readBody(head responseHead, sink func([]byte)) error {
	if head.length >= 0 {
		return c.readExactly(head.length, sink)
	}
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(bytes.TrimRight(line, "\r\n")), 16, 32)
		if err != nil {
			return err
		}
		if err := c.readExactly(int(size), sink); err != nil {
			return err
		}
		if _, err := c.reader.Discard(2); err != nil { // the chunk's own CR LF
			return err
		}
		if size == 0 {
			return nil
		}
	}
}

// readExactly hands the next count bytes to sink, in parts, without copying them.
func (c *httpCaller) readExactly(count int, sink func([]byte)) error {
	for count > 0 {
		if _, err := c.reader.Peek(1); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		part, _ := c.reader.Peek(min(count, c.reader.Buffered()))
		sink(part)
		_, _ = c.reader.Discard(len(part))
		count -= len(part)
	}
	return nil
}

// eventReader cuts a server-sent event stream into events, however it was split on the wire.
type eventReader struct {
	seen    *observation
	pending []byte
	done    bool
}

func (e *eventReader) feed(part []byte) {
	e.pending = append(e.pending, part...)
	for {
		end := bytes.Index(e.pending, []byte("\n\n"))
		if end < 0 {
			return
		}
		event := e.pending[:end]
		if bytes.HasPrefix(event, []byte("data: [DONE]")) {
			e.done = true
		} else {
			e.seen.note(event)
		}
		e.pending = e.pending[end+2:]
	}
}
