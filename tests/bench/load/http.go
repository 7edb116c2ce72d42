package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	callTimeout = 60 * time.Second
	readBuffer  = 16 << 10
	http503     = 503
	errorSample = 300 // bytes of a refused call's body kept to show what went wrong
)

type headerFlags []string

func (h *headerFlags) String() string         { return strings.Join(*h, ", ") }
func (h *headerFlags) Set(value string) error { *h = append(*h, value); return nil }

func httpMain(arguments []string) error {
	var options common
	var extra headerFlags
	flags := flag.NewFlagSet("http", flag.ExitOnError)
	options.register(flags)
	target := flags.String("url", "", "whole URL to POST to")
	bodyFile := flags.String("body", "", "file that holds the JSON body")
	flags.Var(&extra, "header", "further header, 'name: value'; may be repeated")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	where, err := url.Parse(*target)
	if err != nil {
		return err
	}
	request, err := rawRequest(&options, where, *bodyFile, extra)
	if err != nil {
		return err
	}
	secured, err := options.tlsConfig("http/1.1")
	if err != nil {
		return err
	}
	return measure(&options, func() (caller, error) {
		calls, err := uniqueOf(request)
		if err != nil {
			return nil, err
		}
		client := &httpCaller{address: where.Host, tls: secured, calls: calls, stream: options.stream}
		return client, client.connect()
	})
}

// rawRequest is the request's bytes, encoded once but for its marks: the generator spends its time on the wire.
func rawRequest(options *common, where *url.URL, bodyFile string, extra headerFlags) ([]byte, error) {
	body, err := os.ReadFile(bodyFile)
	if err != nil {
		return nil, err
	}
	token, err := options.bearer()
	if err != nil {
		return nil, err
	}
	var raw bytes.Buffer
	fmt.Fprintf(&raw, "POST %s HTTP/1.1\r\nhost: %s\r\nauthorization: Bearer %s\r\n", where.RequestURI(), where.Host, token)
	fmt.Fprintf(&raw, "content-type: application/json\r\naccept: application/json\r\ncontent-length: %d\r\n", len(body))
	for _, each := range extra {
		fmt.Fprintf(&raw, "%s\r\n", each)
	}
	raw.WriteString("\r\n")
	raw.Write(body)
	return raw.Bytes(), nil
}

// httpCaller speaks just enough HTTP/1.1, keep-alive, to read what a gateway answers.
type httpCaller struct {
	address string
	tls     *tls.Config
	calls   *unique
	stream  bool
	conn    net.Conn // nil: connect before the next call
	reader  *bufio.Reader
	body    []byte // reused
}

func (c *httpCaller) connect() error {
	conn, err := net.DialTimeout("tcp", c.address, callTimeout)
	if err != nil {
		return err
	}
	if c.tls != nil {
		host, _, _ := net.SplitHostPort(c.address)
		config := c.tls.Clone()
		config.ServerName = host
		secured := tls.Client(conn, config)
		_ = conn.SetDeadline(time.Now().Add(callTimeout))
		if err := secured.Handshake(); err != nil {
			conn.Close()
			return err
		}
		conn = secured
	}
	c.conn, c.reader = conn, bufio.NewReaderSize(conn, readBuffer)
	return nil
}

func (c *httpCaller) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func (c *httpCaller) call(seen *observation) error {
	if c.conn == nil {
		if err := c.connect(); err != nil {
			return err
		}
	}
	if err := c.conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return err
	}
	if _, err := c.conn.Write(c.calls.next()); err != nil {
		c.close()
		return err
	}
	keep, err := c.answer(seen)
	if !keep {
		c.close()
	}
	return err
}

// answer reads one response and judges it; keep says whether the connection may carry another call.
func (c *httpCaller) answer(seen *observation) (keep bool, err error) {
	head, err := c.readHead()
	if err != nil {
		return false, err
	}
	events := &eventReader{seen: seen}
	c.body = c.body[:0]
	sink := func(part []byte) { c.body = append(c.body, part...) }
	if c.stream && head.status == 200 {
		sink = events.feed
	}
	if err := c.readBody(head, sink); err != nil {
		return false, err
	}
	switch {
	case head.status == http503:
		return head.keep, overloadedError{fmt.Sprintf("HTTP %d", head.status)}
	case head.status != 200:
		return head.keep, fmt.Errorf("HTTP %d: %s", head.status, c.body[:min(len(c.body), errorSample)])
	case c.stream && !events.done:
		return head.keep, fmt.Errorf("the stream ended without [DONE] after %d events", seen.events)
	case !c.stream && !bytes.Contains(c.body, []byte("chat.completion")):
		return head.keep, fmt.Errorf("no chat completion: %s", c.body[:min(len(c.body), errorSample)])
	}
	return head.keep, nil
}
