package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/ssh"
)

// Here is the build host that this computer is, whatever a flake says.
const Here = "localhost"

// How many machines use a connection to a build host at once, which has eight
// sessions; each uses one at a time. Those of exports that were given up may count
// a little longer.
const (
	buildSessions  = 8
	exportSessions = 6
)

// builder is a host that builds for machines, which share its connection.
type builder struct {
	name     string
	dial     func(context.Context) (*ssh.Conn, error)
	reach    time.Duration
	sessions *places
	// exports is the host over a connection of its own, for what is taken from it and
	// asked of it: builds may hold all sessions of theirs for long.
	exports *builder

	mu sync.Mutex
	// hosts has a host for each connection; the last one's is in use, those before
	// were lost. Whoever has one of them is not disturbed by a later one.
	hosts []*sshTarget
}

func newBuilder(name string, dial func(context.Context) (*ssh.Conn, error), reach time.Duration) *builder {
	return &builder{
		name: name, dial: dial, reach: reach, sessions: newPlaces(buildSessions),
		exports: &builder{name: name, dial: dial, reach: reach, sessions: newPlaces(exportSessions)},
	}
}

// use lends the host to a machine of a wave once there is a session for it. What
// has a deadline begins in do: the wait may be long.
func (b *builder) use(ctx context.Context, wave int, do func(*sshTarget) error) error {
	if err := b.sessions.take(ctx, wave); err != nil {
		return err
	}
	defer b.sessions.give()
	host, err := b.open(ctx)
	if err != nil {
		return err
	}
	return do(host)
}

// open gives the host, over a new connection if there is none or it was lost.
func (b *builder) open(ctx context.Context) (*sshTarget, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.hosts); n > 0 && b.hosts[n-1].alive() {
		return b.hosts[n-1], nil
	}
	host := newSSHTarget(b.name, b.dial, b.reach)
	err := host.Connect(ctx)
	if err == nil && b.exports != nil { // exports do without its Nix daemon
		err = b.openStore(ctx, host)
	}
	if err != nil {
		_ = host.Close()
		return nil, fmt.Errorf("reach the build host: %w", err)
	}
	b.hosts = append(b.hosts, host) // it changes no more, and may be used many times at once
	return host, nil
}

// openStore looks for the host's Nix, within the time for looking at a machine.
func (b *builder) openStore(ctx context.Context, host *sshTarget) error {
	ctx, cancel := context.WithTimeout(ctx, b.reach)
	defer cancel()
	_, err := host.Store(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("something hangs there: it lets us in, but does not tell within %s where its Nix is: %w", b.reach, err)
	}
	return err
}

func (b *builder) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all error
	if b.exports != nil {
		all = b.exports.close()
	}
	for _, host := range b.hosts {
		all = errors.Join(all, host.Close())
	}
	b.hosts = nil
	return all
}

// builder gives the host that builds for a machine; nil for this computer, and
// the machine itself for one that is its own.
func (w *way) builder() (b *builder, self bool, err error) {
	d := w.d
	address := d.o.BuildHost
	if address == "" {
		address = w.m.BuildHost
	}
	own, noAddress := ParseAddress(w.m.Address, d.o.Directory)
	switch {
	case d.o.BuildOnTarget:
		return nil, true, noAddress
	case address == "" || address == Here:
		return nil, false, nil
	}
	a, err := ParseAddress(address, d.o.Directory)
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("the build host: %w", err)
	case a.Kind == Local:
		return nil, false, nil
	case a == own:
		return nil, true, nil
	case a.Kind != SSH:
		return nil, false, fmt.Errorf("the build host %s is no host behind SSH", address)
	case own.Kind == Root && d.o.Goal != JustBuild:
		return nil, false, fmt.Errorf("%s is no machine that another can copy to: build for it here (--build-host %s)", own, Here)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.builders[a.String()] == nil {
		dial := func(ctx context.Context) (*ssh.Conn, error) { return d.o.Dial(ctx, d.o.Names[address], a.SSH) }
		d.builders[a.String()] = newBuilder(a.String(), dial, d.o.Timeouts.Reach)
	}
	return d.builders[a.String()], false, nil
}

// buildHost names the host that builds for the machine; empty for here.
func (w *way) buildHost() (string, error) {
	b, self, err := w.builder()
	switch {
	case err != nil:
		return "", err
	case self:
		own, err := ParseAddress(w.m.Address, w.d.o.Directory)
		return own.String(), err
	case b != nil:
		return b.name, nil
	}
	return "", nil
}

// justBuild is the whole way of a machine that is only built for.
func (w *way) justBuild(ctx context.Context, r Result) Result {
	_, self, err := w.builder()
	if err != nil {
		return r.fail(ctx, Build, err)
	}
	if self {
		err := w.d.during(ctx, Reach, func() (err error) { w.t, err = w.d.connect(ctx, w.m); return err })
		if err != nil {
			return r.fail(ctx, Reach, err)
		}
	}
	if err := w.build(ctx); err != nil {
		return r.fail(ctx, Build, err)
	}
	r.Message = "built"
	if host, _ := w.buildHost(); host != "" { // builder has given it
		r.Message += " on " + host
	}
	return r
}

// build realises the system where the machine is built for.
func (w *way) build(ctx context.Context) error {
	b, self, err := w.builder()
	switch {
	case err != nil:
		return err
	case self:
		return w.buildIn(ctx, w.t.String(), func(do func(Target) error) error { return do(w.t) }, w.reconnect)
	case b != nil:
		use := func(do func(Target) error) error {
			return b.use(ctx, w.s.Wave, func(host *sshTarget) error { return do(host) })
		}
		return w.buildIn(ctx, b.name, use, func(context.Context) error { return nil })
	}
	return w.d.build(ctx, w.s)
}

// buildIn builds in the store of another host, which use lends, and which is given
// the derivation. A connection that is lost meanwhile is made anew: Nix goes on
// where it was.
func (w *way) buildIn(ctx context.Context, name string, use func(do func(Target) error) error, reopen func(context.Context) error) error {
	d, s := w.d, w.s
	return d.duringOf(ctx, Build, s.Wave, func() error {
		d.emit(s.Machine, Build, Started, "on "+name)
		opened := false
		try := func() error {
			return use(func(host Target) error {
				opened = true
				return w.tryBuildIn(ctx, host)
			})
		}
		err := w.retry(ctx, Build, try, func(err error) bool { return !opened || !unreachable(err) }, reopen)
		if err != nil {
			return err
		}
		d.emit(s.Machine, Build, Done, s.Wanted.OutPath)
		return nil
	})
}

func (w *way) tryBuildIn(ctx context.Context, host Target) error {
	d, s := w.d, w.s
	store, err := host.Store(ctx)
	if err != nil {
		return err
	}
	request := d.buildRequest(s.Machine, s.Wanted.DrvPath)
	request.Store = store
	if store == "" { // this computer is the machine
		if _, err := d.o.Nix.Build(ctx, request); err != nil {
			return buildError(err)
		}
		return nil
	}
	what := fmt.Sprintf("hand the derivation of %s to %s", s.Wanted.OutPath, host)
	err = w.watched(ctx, host, what, host.Traffic, func(ctx context.Context) error {
		return d.o.Nix.Copy(ctx, nix.CopyRequest{
			To: store, Paths: []string{s.Wanted.DrvPath}, NoCheckSigs: true, SubstituteOnDestination: true, OnEvent: request.OnEvent,
		})
	})
	if err != nil {
		return err
	}
	began := time.Now() // it is not watched: it may say nothing for long
	if _, err = d.o.Nix.Build(ctx, request); err != nil {
		return w.storeError(ctx, host, began, fmt.Sprintf("build its system on %s", host), err)
	}
	return nil
}

// transferred is how many paths go from a build host to a machine in one piece:
// what has arrived stays when the next piece fails.
const transferred = 64

// transfer brings the system from the build host to the machine, through us.
// Nothing of it touches a disk here.
func (w *way) transfer(ctx context.Context, from *sshTarget) error {
	to := w.t.(comparer) // builder has seen to that
	missing, err := w.missing(ctx, from, to)
	if err != nil {
		return err
	}
	var moved atomic.Int64
	return w.watched(ctx, w.t, w.copying(), moved.Load, func(ctx context.Context) error {
		for piece := range slices.Chunk(missing, transferred) {
			w.d.emit(w.m.Name, Copy, Running, piece[len(piece)-1])
			r, pipe := io.Pipe()
			sent := make(chan error, 1)
			go func() {
				err := from.run(ctx, `exec nix-store --export "$@"`, nil, pipe, piece...)
				pipe.CloseWithError(err)
				sent <- err
			}()
			err := to.run(ctx, "exec nix-store --import", &meter{r, &moved}, io.Discard)
			r.CloseWithError(io.ErrClosedPipe)
			if failed := <-sent; failed != nil && !errors.Is(failed, io.ErrClosedPipe) {
				return fmt.Errorf("export it from %s: %w", from, failed)
			}
			if err != nil {
				return fmt.Errorf("import it: %w", err)
			}
		}
		return nil
	})
}

// missing lists what the machine has not got of the system, what others need first.
func (w *way) missing(ctx context.Context, from *sshTarget, to comparer) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	list, err := from.output(ctx, `exec nix-store --query --requisites "$1"`, nil, w.s.Wanted.OutPath)
	if err != nil {
		return nil, fmt.Errorf("ask %s what %s needs: %w", from, w.s.Wanted.OutPath, err)
	}
	paths := strings.Fields(list)
	has, err := compare(ctx, to, "", paths)
	if err != nil {
		return nil, fmt.Errorf("ask %s what it has of %s: %w", w.t, w.s.Wanted.OutPath, err)
	}
	lacks := map[string]bool{}
	for _, path := range has.lacks {
		lacks[path] = true
	}
	return slices.DeleteFunc(paths, func(path string) bool { return !lacks[path] }), nil
}

// meter counts what is read through it.
type meter struct {
	io.Reader
	sum *atomic.Int64
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	m.sum.Add(int64(n))
	return n, err
}
