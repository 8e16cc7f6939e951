// Looks names up with the resolver that Go chooses where it has the C library's too; exit code 2 when one has no address.
package main

import (
	"fmt"
	"net"
	"os"
)

func main() {
	code := 0
	for _, name := range os.Args[1:] {
		addresses, err := net.LookupHost(name)
		fmt.Println(name, addresses, err)
		if err != nil {
			code = 2
		}
	}
	os.Exit(code)
}
