package deploy

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/crs58/fleet/internal/flake"
)

// HealthError says which of a machine's health checks failed, and how.
type HealthError struct {
	Check string
	Err   error // of the last try
	Tries int
}

func (e *HealthError) Error() string {
	tries := "1 try"
	if e.Tries != 1 {
		tries = fmt.Sprintf("%d tries", e.Tries)
	}
	return fmt.Sprintf("the health check %s failed after %s: %v", e.Check, tries, e.Err)
}

func (e *HealthError) Unwrap() error { return e.Err }

// checkHealth runs a machine's checks side by side, and gives the first failure
// by name. An error about the connection comes before all others.
func (f *follower) checkHealth(ctx context.Context) error {
	if f.health == nil || len(f.health.Checks) == 0 || f.s.Goal == Boot { // which runs nothing new
		return nil
	}
	if _, folder := f.t.(*rootTarget); folder {
		f.d.emit(f.s.Machine, Health, Running, "in a folder nothing runs whose health could be checked")
		return nil
	}
	f.d.emit(f.s.Machine, Health, Started, "")
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	names := sortedKeys(f.health.Checks)
	errs := make([]error, len(names))
	commands := newPlaces(checksAtOnce)
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			errs[i] = f.tryCheck(ctx, commands, name, f.health.Checks[name])
			if isLost(errs[i]) {
				cancel()
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if isLost(err) {
			return err
		}
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	f.d.emit(f.s.Machine, Health, Done, strings.Join(names, ", "))
	return nil
}

// checksAtOnce is how many checks run a program on the machine at once: a
// connection has only so many sessions, and waiting for one is none of the program's
// time.
const checksAtOnce = 6

// runsProgram tells that a check runs a program on the machine.
func runsProgram(c *flake.HealthCheck) bool { return c.Command != "" || len(c.Units) > 0 }

// longestChecks is how long all checks may take.
func longestChecks(h *flake.Health) time.Duration {
	programs := 0
	if h != nil {
		for _, c := range h.Checks {
			if runsProgram(c) {
				programs++
			}
		}
	}
	rounds := max(1, (programs+checksAtOnce-1)/checksAtOnce)
	return time.Duration(rounds) * h.Longest()
}

// tryCheck tries one check until it succeeds.
func (f *follower) tryCheck(ctx context.Context, commands *places, name string, c *flake.HealthCheck) error {
	for try := 1; ; try++ {
		late, err := f.tryOnce(ctx, commands, c)
		switch {
		case err == nil:
			return nil
		case late:
			err = fmt.Errorf("no answer within %d s", max(1, c.Timeout))
		case ctx.Err() != nil:
			return fmt.Errorf("check %s: %w", name, context.Cause(ctx))
		case isLost(err):
			return err
		}
		if try >= c.Attempts {
			return &HealthError{Check: name, Err: err, Tries: try}
		}
		f.d.emit(f.s.Machine, Health, Running, fmt.Sprintf("%s: %v", name, err))
		select {
		case <-time.After(time.Duration(c.Period) * time.Second):
		case <-ctx.Done():
			return fmt.Errorf("check %s: %w", name, context.Cause(ctx))
		}
	}
}

// tryOnce runs a check for as long as it may take, and tells whether it took longer.
func (f *follower) tryOnce(ctx context.Context, commands *places, c *flake.HealthCheck) (late bool, err error) {
	if runsProgram(c) {
		if err := commands.take(ctx, 0); err != nil {
			return false, err
		}
		defer commands.give()
	}
	bounded, cancel := context.WithTimeout(ctx, time.Duration(max(1, c.Timeout))*time.Second)
	defer cancel()
	err = f.check(bounded, c)
	return bounded.Err() != nil && ctx.Err() == nil, err
}

// check tries one check once.
func (f *follower) check(ctx context.Context, c *flake.HealthCheck) error {
	switch {
	case len(c.Units) > 0 && f.s.Class == flake.Darwin:
		const script = `for label; do launchctl print "system/$label" 2>/dev/null | grep -q 'state = running' || echo "$label does not run"; done`
		return f.succeeds(ctx, append([]string{"/bin/sh", "-c", script + " | grep . && exit 1 || exit 0", "fleet"}, c.Units...))
	case len(c.Units) > 0:
		const script = `for unit; do state=$(systemctl is-active "$unit"); [ "$state" = active ] || echo "$unit is $state"; done | grep . && exit 1 || exit 0`
		return f.succeeds(ctx, append([]string{"/bin/sh", "-c", script, "fleet"}, c.Units...))
	case c.Command != "":
		return f.succeeds(ctx, []string{"/bin/sh", "-c", c.Command})
	case c.HTTP != "":
		return f.checkHTTP(ctx, c)
	case c.TCP != "":
		conn, err := f.dialFrom(c.From)(ctx, "tcp", c.TCP)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	return errors.New("this version of fleet does not know the kind of this check")
}

//go:embed script/check.sh
var checkScript string

// succeeds runs a program on the machine that has to. The machine itself ends
// one that is still there after the time of ctx.
func (f *follower) succeeds(ctx context.Context, args []string) error {
	if deadline, ok := ctx.Deadline(); ok {
		left := seconds(time.Until(deadline)) + 1
		args = append([]string{"/bin/sh", "-c", checkScript, "fleet", strconv.Itoa(left)}, args...)
	}
	var out tail
	code, err := ask(ctx, f.t, args, out.add)
	if err != nil {
		return err
	}
	if code != 0 {
		if words := out.String(); words != "" {
			return errors.New(f.d.secrets.text(f.s.Machine, words))
		}
		return fmt.Errorf("exit status %d", code)
	}
	return nil
}

// maxBody is how much of an answer is looked through.
const maxBody = 1 << 20

func (f *follower) checkHTTP(ctx context.Context, c *flake.HealthCheck) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.HTTP, nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "fleet-health-check")
	transport := &http.Transport{DialContext: f.dialFrom(c.From), DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	good := slices.Contains(c.Status, answer.StatusCode) || len(c.Status) == 0 && answer.StatusCode/100 == 2
	switch {
	case !good:
		return fmt.Errorf("GET %s: %s", c.HTTP, answer.Status)
	case err != nil:
		return fmt.Errorf("GET %s: %w", c.HTTP, err)
	case !strings.Contains(string(body), c.Contains):
		return fmt.Errorf("GET %s: the answer does not contain %q", c.HTTP, c.Contains)
	}
	return nil
}

// dialFrom connects from the machine, or from here.
func (f *follower) dialFrom(where string) func(ctx context.Context, network, address string) (net.Conn, error) {
	if where == "driver" {
		return (&net.Dialer{}).DialContext
	}
	return f.t.DialContext
}

// broken are the units whose failure speaks against the new system.
func broken(h *flake.Health, units []string) []string {
	if h == nil {
		return units
	}
	return slices.DeleteFunc(slices.Clone(units), func(unit string) bool {
		return slices.ContainsFunc(h.IgnoredUnits, func(pattern string) bool {
			matched, err := path.Match(pattern, unit)
			return matched && err == nil
		})
	})
}
