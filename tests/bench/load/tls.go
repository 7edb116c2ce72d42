package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
)

// tlsConfig is nil where no CA was named: the target is plain text.
func (c *common) tlsConfig(protocols ...string) (*tls.Config, error) {
	if c.caFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", c.caFile)
	}
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13, NextProtos: protocols}
	if c.certFile == "" {
		return config, nil
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return nil, err
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// bearer is the token in --bearer-file, or a made-up one: the direct upstream accepts any.
func (c *common) bearer() (string, error) {
	if c.bearerFile == "" {
		return "made-up", nil
	}
	text, err := os.ReadFile(c.bearerFile)
	return strings.TrimSpace(string(text)), err
}
