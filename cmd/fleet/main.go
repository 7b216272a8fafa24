// Command fleet runs a fleet of NixOS and nix-darwin machines from one flake.
package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/crs58/fleet/internal/cli"
	"github.com/crs58/fleet/internal/term"
)

// version is set by the linker; a build without it tells the module's version.
var version string

// lastWords is what a second Ctrl-C leaves to kill what was started: a Nix that
// evaluates would go on without us.
const lastWords = 500 * time.Millisecond

func main() { os.Exit(run()) }

func run() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// A reader of our output that goes away is an error of that write; it must
	// not kill a deploy half-way.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	streams := term.System(os.Getenv)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		streams.Interject("stopping; press Ctrl-C again to leave at once")
		cancel()
		<-signals
		// Not waited for: whoever holds the streams may be what hangs.
		go streams.Interject("left at once; `fleet machines runs` tells how deploys stand")
		time.Sleep(lastWords)
		os.Exit(130)
	}()

	home, _ := os.UserHomeDir()
	dir, err := os.Getwd()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error: the current folder is gone:", err)
		return 1
	}
	hostname, _ := os.Hostname()
	return cli.Main(ctx, &cli.App{
		Streams:  streams,
		Getenv:   os.Getenv,
		Environ:  os.Environ(),
		Home:     home,
		Dir:      dir,
		Now:      time.Now,
		Version:  buildVersion(),
		Hostname: hostname,
		User:     userName(),
		Root:     os.Geteuid() == 0,
	}, os.Args[1:])
}

// userName is what whoever runs this is called: by the environment, which sudo
// and the user can set, or by the system.
func userName() string {
	if name := cmp.Or(os.Getenv("USER"), os.Getenv("LOGNAME")); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Getuid())
}

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
