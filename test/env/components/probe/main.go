// The program of the pods on a real node: it says what its pod sees, and holds connections. Also the pause program.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `probe wait             runs until SIGTERM or SIGINT
probe hold FILE        holds connections with and without keepalive until then; FILE says which
probe held FILE        prints the file
probe environment      prints resolv.conf, the host name and the sysctls of TCP keepalive
probe lookup NAME...   prints what Go's resolver finds
probe sockets          prints the TCP sockets of the pod and their timers`

func main() {
	command, arguments := "wait", []string{}
	if len(os.Args) > 1 {
		command, arguments = os.Args[1], os.Args[2:]
	}
	if err := run(command, arguments); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(command string, arguments []string) error {
	switch command {
	case "wait":
		waitForEnd()
		return nil
	case "hold":
		if len(arguments) != 1 {
			return fmt.Errorf("hold wants a file\n%s", usage)
		}
		return hold(arguments[0])
	case "held":
		return printFiles(arguments)
	case "environment":
		return printEnvironment()
	case "lookup":
		return printLookups(arguments)
	case "sockets":
		return printSockets()
	default:
		return fmt.Errorf("unknown command %q\n%s", command, usage)
	}
}

// The first process of a container has no default actions for signals, hence ends only when it asks for them.
func waitForEnd() {
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM, syscall.SIGINT)
	<-ends
}

func printJSON(value any) error {
	return json.NewEncoder(os.Stdout).Encode(value)
}
