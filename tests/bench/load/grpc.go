package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// rawCodec passes messages through as bytes: the request was encoded before, replies are not decoded.
type rawCodec struct{}

func (rawCodec) Name() string                      { return "proto" }
func (rawCodec) Marshal(value any) ([]byte, error) { return *value.(*[]byte), nil }
func (rawCodec) Unmarshal(wire []byte, value any) error {
	into := value.(*[]byte)
	*into = append((*into)[:0], wire...)
	return nil
}

func grpcMain(arguments []string) error {
	var options common
	flags := flag.NewFlagSet("grpc", flag.ExitOnError)
	options.register(flags)
	address := flags.String("address", "", "host:port")
	method := flags.String("method", "", "full method, /package.Service/Method")
	messageFile := flags.String("message", "", "file that holds the encoded request")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	message, err := os.ReadFile(*messageFile)
	if err != nil {
		return err
	}
	token, err := options.bearer()
	if err != nil {
		return err
	}
	secured, err := options.tlsConfig()
	if err != nil {
		return err
	}
	security := insecure.NewCredentials()
	if secured != nil {
		security = credentials.NewTLS(secured)
	}
	return measure(&options, func() (caller, error) {
		conn, err := grpc.NewClient("passthrough:///"+*address, grpc.WithTransportCredentials(security),
			grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{})))
		if err != nil {
			return nil, err
		}
		calls, err := uniqueOf(message)
		client := &grpcCaller{conn: conn, method: *method, calls: calls, token: token, stream: options.stream}
		return client, err
	})
}

// grpcCaller has one HTTP/2 connection and one call in flight on it.
type grpcCaller struct {
	conn   *grpc.ClientConn
	method string
	calls  *unique
	token  string
	stream bool
	reply  []byte // reused
}

func (c *grpcCaller) close() { c.conn.Close() }

func (c *grpcCaller) call(seen *observation) error {
	err := c.ask(seen)
	if status.Code(err) == codes.ResourceExhausted {
		return overloadedError{err.Error()}
	}
	return err
}

func (c *grpcCaller) ask(seen *observation) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
	if c.stream {
		return c.callStream(ctx, seen)
	}
	message := c.calls.next()
	if err := c.conn.Invoke(ctx, c.method, &message, &c.reply); err != nil {
		return err
	}
	if len(c.reply) == 0 {
		return fmt.Errorf("the reply is empty")
	}
	return nil
}

func (c *grpcCaller) callStream(ctx context.Context, seen *observation) error {
	stream, err := c.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, c.method)
	if err != nil {
		return err
	}
	message := c.calls.next()
	if err := stream.SendMsg(&message); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		switch err := stream.RecvMsg(&c.reply); {
		case err == io.EOF && seen.events == 0:
			return fmt.Errorf("the stream was empty")
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		seen.note(c.reply)
	}
}
