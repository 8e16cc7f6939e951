package main

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"time"
)

type environment struct {
	ResolvConf string            `json:"resolvConf"`
	Hostname   string            `json:"hostname"`
	Sysctls    map[string]string `json:"sysctls"`
}

func printEnvironment() error {
	resolvConf, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return err
	}
	hostname, err := os.Hostname()
	if err != nil {
		return err
	}
	sysctls := map[string]string{}
	for _, name := range []string{"tcp_keepalive_time", "tcp_keepalive_intvl", "tcp_keepalive_probes", "tcp_fin_timeout"} {
		value, err := os.ReadFile("/proc/sys/net/ipv4/" + name)
		if err != nil {
			return err
		}
		sysctls["net.ipv4."+name] = strings.TrimSpace(string(value))
	}
	return printJSON(environment{string(resolvConf), hostname, sysctls})
}

type lookup struct {
	Addresses []string `json:"addresses"`
	// Empty when it was found.
	Error string `json:"error"`
	// The server said that there is no such name, or no address for it.
	NotFound bool `json:"notFound"`
}

func printLookups(names []string) error {
	// Without cgo this is Go's own resolver anyway; said so that it stays so.
	resolver := net.Resolver{PreferGo: true}
	lookups := map[string]lookup{}
	for _, name := range names {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		addresses, err := resolver.LookupHost(ctx, name)
		cancel()
		found := lookup{Addresses: addresses}
		if err != nil {
			found.Error = err.Error()
			var dnsError *net.DNSError
			found.NotFound = errors.As(err, &dnsError) && dnsError.IsNotFound
		}
		lookups[name] = found
	}
	return printJSON(lookups)
}
