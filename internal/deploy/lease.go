package deploy

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A machine is held by a session on it that gets a line every heartBeat; the
// claim of a driver that is silent for leaseTime is over.
const (
	heartBeat = 15 * time.Second
	leaseTime = time.Minute
)

// Claim runs the script that holds the machine for as long as it hears from us.
func (t *scripted) Claim(ctx context.Context, run, owner, system string) (func(), error) {
	holding, cancel := context.WithCancel(context.WithoutCancel(ctx))
	lines, beat := io.Pipe()
	answers := make(chan string, 1)
	said := &lineSplitter{line: func(line string) {
		if line == "held" || strings.HasPrefix(line, "busy ") { // else it is a login shell that says it
			select {
			case answers <- line:
			default:
			}
		}
	}}
	ended := make(chan error, 1)
	go func() {
		ended <- t.shell.run(holding, claimScript, lines, said, run, strings.Join(strings.Fields(owner), " "), strconv.Itoa(seconds(leaseTime)), system)
		lines.Close() // so that a beat does not wait for a reader
	}()
	give := sync.OnceFunc(func() {
		beat.Close() // the script tidies up at the end of its input
		select {
		case err := <-ended:
			ended <- err
		case <-time.After(time.Second):
		}
		cancel()
	})
	select {
	case line := <-answers:
		busy, isBusy := parseBusy(line)
		switch {
		case isBusy:
			give()
			busy.Target = t.name
			return nil, busy
		case line != "held":
			give()
			return nil, fmt.Errorf("claim %s for this run: it answers %q", t.name, line)
		}
	case err := <-ended:
		ended <- err
		give()
		return nil, fmt.Errorf("claim %s for this run: %w", t.name, err)
	case <-ctx.Done():
		give()
		return nil, fmt.Errorf("claim %s for this run: %w", t.name, context.Cause(ctx))
	}
	go func() {
		ticker := time.NewTicker(heartBeat)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				if _, err := beat.Write([]byte("\n")); err != nil {
					return
				}
			case <-holding.Done():
				return
			}
		}
	}()
	return give, nil
}

// parseBusy reads "busy AGE OWNER".
func parseBusy(line string) (*BusyError, bool) {
	rest, ok := strings.CutPrefix(line, "busy ")
	if !ok {
		return nil, false
	}
	age, owner, _ := strings.Cut(rest, " ")
	n, _ := strconv.Atoi(age)
	return &BusyError{Owner: owner, Age: time.Duration(n) * time.Second}, true
}
