package deploy

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/ssh"
)

// activate switches a machine to its system and sees to the end of that. From
// here on the end of ctx is not heeded: what is under way is brought to its end.
func (d *Deployer) activate(ctx context.Context, s Step, t Target, r Result) Result {
	ctx = context.WithoutCancel(ctx)
	a, err := d.newActivation(s)
	if err != nil {
		return r.fail(ctx, Activate, err)
	}
	d.emit(s.Machine, Activate, Started, s.Wanted.OutPath)
	f := &follower{d: d, s: s, t: t, id: a.ID, token: a.Token, window: a.Window, limit: a.Limit, health: a.Health}
	if err := f.begin(ctx, a); err != nil {
		return r.fail(ctx, Activate, err)
	}
	return f.follow(ctx, r)
}

func (d *Deployer) newActivation(s Step) (Activation, error) {
	var token [16]byte
	if _, err := io.ReadFull(d.o.Random, token[:]); err != nil {
		return Activation{}, fmt.Errorf("make the token of the confirmation: %w", err)
	}
	return Activation{
		ID:    newName(d.o.Now(), d.o.Random),
		Class: s.Class, Out: s.Wanted.OutPath, Found: s.Now.System, Goal: s.Goal, Generation: s.Generation, Owner: d.o.Owner, Token: hex.EncodeToString(token[:]),
		Limit: d.o.Timeouts.Activate, Window: d.o.Timeouts.Confirm + longestChecks(s.health), Health: s.health, Secrets: s.secretFiles(),
	}, nil
}

// follower takes part, as the driver, in one activation of one machine.
type follower struct {
	d         *Deployer
	s         Step
	t         Target
	id, token string
	// window, limit and health are those of the activation.
	window, limit time.Duration
	health        *flake.Health

	log      tail // the last lines of the activation
	goesBack bool
	// active says that the new system was seen to be up, judged that the machine
	// was told what is to become of it.
	active, judged bool
	// verdict is why we rejected the new system; nil where we confirmed it.
	verdict error
	// unconfirmed is why we could do neither when we last tried; nil if we never did.
	unconfirmed error
	// note is what is to be said about a system that stays.
	note string
	// after is what the machine looked like when its new system was examined.
	after *Facts
	// dead is since when the activation has no supervisor.
	dead time.Time
}

// What the supervisor of an activation prints itself, among the lines of the
// activation.
const (
	supervisorSays = "fleet: "
	goingBack      = "going back to "
)

// The waits for an activation to stand otherwise grow from the first to the last:
// after each it is told what was printed.
const (
	firstWait = 500 * time.Millisecond
	lastWait  = time.Second
)

// begin begins the activation. A connection that breaks is made again, to find
// out whether it was begun.
func (f *follower) begin(ctx context.Context, a Activation) error {
	// Whoever goes on with the run has to know of it, even if we die now.
	err := f.d.o.Record.append(entry{Begun: &Begun{Machine: f.s.Machine, Target: f.t.String(), ID: a.ID}}, true)
	if err != nil {
		return err
	}
	begin := func() error {
		bounded, cancel := context.WithTimeout(ctx, changeTimeout)
		defer cancel()
		return f.t.Begin(bounded, a)
	}
	err = begin()
	if err == nil || !isLost(err) {
		return err
	}
	if again := f.again(ctx, err); again != nil {
		return again
	}
	if err := begin(); err != nil { // which changes nothing if it was begun
		if isLost(err) {
			return fmt.Errorf("%w: whether the activation was begun could not be seen: %w", ErrUnknown, err)
		}
		return err
	}
	return nil
}

// isLost tells that an error is about the connection, not about the machine: it
// broke, or says nothing any more.
func isLost(err error) bool {
	return errors.Is(err, ssh.ErrConnectionLost) || errors.Is(err, ssh.ErrClosed) || errors.Is(err, ssh.ErrTimeout) || errors.Is(err, context.DeadlineExceeded)
}

// again connects again after a loss. It gives an error that says that the
// outcome is unknown if that does not succeed in time.
func (f *follower) again(ctx context.Context, lost error) error {
	if f.unconfirmed == nil {
		f.unconfirmed = notReached(lost)
	}
	f.d.emit(f.s.Machine, f.phase(), Running, "the connection is lost; trying to reach the machine again")
	patience := f.patience()
	deadline, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 3*time.Second) {
		err := f.t.Reconnect(deadline)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-deadline.Done():
			return fmt.Errorf("%w: %s was lost during the activation and could not be reached again within %s; if it is up, it goes back to the system of before by itself: %w",
				ErrUnknown, f.t, patience, err)
		}
	}
}

// patience is how long a machine is waited for that cannot be reached.
func (f *follower) patience() time.Duration {
	patience := cmp.Or(f.d.o.Timeouts.Reconnect, f.window+reconnectGrace)
	if f.s.Goal == Reboot {
		patience += f.d.o.Timeouts.Reboot
	}
	return patience
}

// notReached says that a new system was not confirmed because of its connection.
func notReached(err error) error { return fmt.Errorf("the machine could not be reached: %w", err) }

// longest is how long the machine takes at most: it bounds every step. These are
// the activation, two to make it permanent, and three to go back; going down and
// coming up, twice.
func (f *follower) longest() time.Duration {
	longest := 6*f.limit + f.window
	if f.s.Goal == Reboot {
		longest += 2 * f.d.o.Timeouts.Reboot
	}
	return longest
}

// phase is what the activation is at for us.
func (f *follower) phase() Phase {
	if f.active {
		return Confirm
	}
	return Activate
}

// follow looks at the activation until its end, and judges the new system when
// it is up.
func (f *follower) follow(ctx context.Context, r Result) Result {
	lines := &lineSplitter{line: func(line string) {
		if line == "" {
			return
		}
		line = f.d.secrets.text(f.s.Machine, line)
		switch own, ok := strings.CutPrefix(line, supervisorSays); {
		case strings.HasPrefix(own, goingBack):
			f.goesBack = true // what is printed from here on is not why
		case !ok && !f.goesBack:
			f.log.add(line)
		}
		f.d.emit(f.s.Machine, f.phase(), Running, line)
	}}
	// This is for a machine that is there and hangs.
	overall := time.Now().Add(f.longest() + changeTimeout)
	seen := time.Now()
	blind := "" // or why it could not be seen at the last look
	wait := firstWait
	for last := (Progress{}); time.Now().Before(overall); wait = longer(wait) {
		now, err := f.t.Look(ctx, f.id, last, wait)
		switch {
		case isLost(err):
			if err := f.again(ctx, err); err != nil {
				return r.fail(ctx, f.phase(), err)
			}
			seen = time.Now()
			continue
		case err != nil && time.Since(seen) > f.window+blindGrace:
			return r.fail(ctx, f.phase(), fmt.Errorf("%w: the activation on %s cannot be watched: %w", ErrUnknown, f.t, err))
		case err != nil:
			if err.Error() != blind {
				f.d.emit(f.s.Machine, f.phase(), Running, "the activation cannot be watched; trying again: "+err.Error())
			}
			blind = err.Error()
			time.Sleep(wait)
			continue
		}
		seen, blind = time.Now(), ""
		_, _ = lines.Write([]byte(now.Output))
		if now.Stand != last.Stand {
			wait = firstWait
		}
		last = now
		if now.Stand != Dead {
			f.dead = time.Time{}
		}
		switch now.Stand {
		case Ended:
			lines.flush()
			return f.end(ctx, r, now)
		case Gone:
			return f.gone(ctx, r)
		case Dead:
			if err := f.revive(ctx); err != nil {
				return r.fail(ctx, f.phase(), err)
			}
			time.Sleep(wait)
		case Waiting:
			if !f.judged {
				f.judge(ctx, now)
				wait = firstWait
			}
		}
	}
	return r.fail(ctx, f.phase(), fmt.Errorf("%w: the activation on %s has not ended in time", ErrUnknown, f.t))
}

// blindGrace is how much longer than its window an activation may be that cannot be
// watched though its machine lets us in: unless it is confirmed until then, it goes
// back by itself.
const blindGrace = 30 * time.Second

func longer(wait time.Duration) time.Duration { return min(wait*3/2, lastWait) }

// settleTime is how long a machine is told to go on with an activation that has
// lost its supervisor: it may be busy with going down or coming up.
const settleTime = 2 * time.Minute

// revive has the machine go on with an activation that lost its supervisor.
func (f *follower) revive(ctx context.Context) error {
	if f.dead.IsZero() {
		f.dead = time.Now()
	}
	bounded, cancel := context.WithTimeout(ctx, f.d.o.Timeouts.Reach)
	defer cancel()
	err := f.t.Settle(bounded)
	if time.Since(f.dead) < settleTime || isLost(err) {
		return nil // the next look tells
	}
	if err == nil {
		err = errors.New("its supervisor ends again and again")
	}
	return fmt.Errorf("%w: %s does not bring its activation to an end: %w", ErrUnknown, f.t, err)
}

// judge reaches the machine anew, looks at what its new system does, and
// confirms or rejects it. Where the machine cannot be reached nothing is
// decided: the next look at it finds that out.
func (f *follower) judge(ctx context.Context, now Progress) {
	ctx, cancel := context.WithTimeout(ctx, f.window)
	defer cancel()
	if !f.active {
		f.active = true
		f.d.emit(f.s.Machine, Activate, Done, "")
		f.d.emit(f.s.Machine, Confirm, Started, "")
	}
	if err := f.t.Reconnect(ctx); err != nil {
		f.unconfirmed = notReached(err)
		f.d.emit(f.s.Machine, Confirm, Running, "the new system cannot be reached: "+err.Error())
		return
	}
	verdict := f.examine(ctx, now)
	switch {
	case isLost(verdict) && ctx.Err() != nil:
		f.unconfirmed = fmt.Errorf("it took longer to find out how it does: %w", verdict)
		return
	case isLost(verdict):
		f.unconfirmed = notReached(verdict)
		return
	}
	wanted := Confirmed
	if verdict != nil {
		wanted = Rejected
		why := f.d.secrets.text(f.s.Machine, verdict.Error())
		f.d.emit(f.s.Machine, Confirm, Running, why)
		// The machine is not told why; whoever goes on with the run is. Record.Close tells.
		_ = f.d.o.Record.append(entry{Begun: &Begun{Machine: f.s.Machine, Target: f.t.String(), ID: f.id, Rejected: why}}, true)
	}
	f.unconfirmed = verdict
	decision, err := f.t.Decide(ctx, f.id, f.token, wanted)
	if err != nil {
		f.unconfirmed = cmp.Or(verdict, err)
		return
	}
	switch decision {
	case undecidedEarly:
		return // it has restarted meanwhile
	case undecidedStranger:
		f.unconfirmed = fmt.Errorf("the machine does not take our word (%s)", decision)
		f.d.emit(f.s.Machine, Confirm, Running, f.unconfirmed.Error())
	case Decision(CauseExpired):
		f.unconfirmed = cmp.Or(verdict, errors.New("our word came too late"))
	}
	f.judged, f.verdict = true, verdict
}

// examine says what is wrong with the new system.
func (f *follower) examine(ctx context.Context, now Progress) error {
	after, err := f.t.Inspect(ctx, "", f.id)
	if err != nil {
		return fmt.Errorf("the machine cannot be looked at: %w", err)
	}
	f.after = &after
	all := after.newlyFailed(now.Code)
	units := broken(f.health, all)
	warn := f.health != nil && f.health.FailedUnits == "warn"
	switch {
	case len(units) > 0 && !warn && f.s.Class == flake.Darwin:
		return &fixableError{err: &UnitsFailedError{Units: units}, next: addressOf(f.t).onTarget("launchctl", "print", "system/"+units[0])}
	case len(units) > 0 && !warn:
		return &UnitsFailedError{Units: units}
	case len(all) > 0:
		f.note = "units failed: " + strings.Join(all, ", ")
	case now.Code == codeUnitsFailed && len(after.FailedUnits) == 0 && warn:
		f.note = "units failed" + said(f.log.String())
	case now.Code == codeUnitsFailed && len(after.FailedUnits) == 0: // what failed cannot be seen, such as a reload
		return fmt.Errorf("units failed (exit status %d)%s", now.Code, said(f.log.String()))
	}
	if now.Code != codeRebootNeeded && f.s.Goal != Boot && after.System != f.s.Wanted.OutPath {
		return fmt.Errorf("the activation ended without an error, but the machine runs %s", orNothing(after.System))
	}
	return f.checkHealth(ctx)
}

// gone is for an activation that its machine knows nothing of any more, which
// may have been restarted without keeping /var/lib.
func (f *follower) gone(ctx context.Context, r Result) Result {
	looking, cancel := context.WithTimeout(ctx, f.d.o.Timeouts.Reach)
	defer cancel()
	out := f.s.Wanted.OutPath
	if after, err := f.t.Inspect(looking, "", ""); err == nil && after.System != "" && after.System != out && after.Profile != out {
		r = r.fail(ctx, f.phase(), fmt.Errorf("%s has forgotten the activation, probably because it was restarted; it runs %s", f.t, after.System))
		r.State, r.Cause = RolledBack, CauseRebooted
		return r
	}
	return r.fail(ctx, f.phase(), fmt.Errorf("%w: %s has forgotten the activation", ErrUnknown, f.t))
}

// end says how the activation ended.
func (f *follower) end(ctx context.Context, r Result, p Progress) Result {
	o := outcome{progress: p, class: f.s.Class, goal: f.s.Goal, verdict: f.verdict, unconfirmed: f.unconfirmed, window: f.window, limit: f.limit, lastWords: f.log.String()}
	if p.Ending == EndDone && f.after != nil { // which is how it was left
		o.after = *f.after
	} else {
		looking, cancel := context.WithTimeout(ctx, f.d.o.Timeouts.Reach)
		defer cancel()
		if after, err := f.t.Inspect(looking, "", f.id); err == nil {
			o.after = after
		}
	}
	if err := o.failure(); err != nil {
		switch {
		case o.inhibited():
			err = &fixableError{err: err, next: "fleet machines update " + f.s.Machine + " --goal boot --reboot"}
		default:
			err = withJournal(err, f.t, o.after, f.id)
		}
		r = r.fail(ctx, f.phase(), err)
		r.Cause = p.Cause
		if p.Ending == EndRolledBack {
			r.State = RolledBack
		}
		return r
	}
	r.Message, r.RebootNeeded = cmp.Or(f.note, o.note()), o.after.RebootNeeded || p.Code == codeRebootNeeded || f.s.Goal == Boot && o.after.System != f.s.Wanted.OutPath
	f.d.emit(f.s.Machine, Confirm, Done, r.Message)
	return r
}

func orNothing(system string) string {
	if system == "" {
		return "no system"
	}
	return system
}
