package deploy

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/crs58/fleet/internal/ssh"
)

// A machine is held by a session on it that gets a line every heartBeat; the
// claim of a driver that is silent for leaseTime is over.
const (
	heartBeat = 15 * time.Second
	leaseTime = time.Minute
)

// session is a claim on a machine: a script there that holds it for as long as it
// hears from us.
type session struct {
	target string
	beat   *io.PipeWriter // a line that is not empty is answered
	// answers are the script's; ended is closed when it has ended, of err.
	answers chan string
	ended   chan struct{}
	err     error
	cancel  context.CancelFunc
}

// Claim begins a session.
func (t *scripted) Claim(ctx context.Context, run, owner, system string) (Lease, error) {
	holding, cancel := context.WithCancel(context.WithoutCancel(ctx))
	lines, beat := io.Pipe()
	s := &session{target: t.name, beat: beat, answers: make(chan string, 1), ended: make(chan struct{}), cancel: cancel}
	said := &lineSplitter{line: func(line string) {
		if strings.HasPrefix(line, "held ") || strings.HasPrefix(line, "busy ") { // else it is a login shell that says it
			select {
			case s.answers <- line:
			default:
			}
		}
	}}
	go func() {
		defer close(s.ended)
		s.err = t.shell.run(holding, claimScript, lines, said, run, strings.Join(strings.Fields(owner), " "), strconv.Itoa(seconds(leaseTime)), system)
		lines.Close() // so that a beat does not wait for a reader
	}()
	if _, err := s.answer(ctx); err != nil {
		s.Release()
		return nil, err
	}
	go s.keep()
	return s, nil
}

// keep sends heart-beats.
func (s *session) keep() {
	ticker := time.NewTicker(heartBeat)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if _, err := s.beat.Write([]byte("\n")); err != nil {
				return
			}
		case <-s.ended:
			return
		}
	}
}

// answer waits for what the script says of the machine.
func (s *session) answer(ctx context.Context) (Place, error) {
	err := ssh.ErrClosed
	select {
	case line := <-s.answers:
		return s.read(line)
	case <-s.ended:
		select {
		case line := <-s.answers: // its last word
			return s.read(line)
		default:
		}
		if s.err != nil {
			err = s.err
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	return Place{}, fmt.Errorf("claim %s for this run: %w", s.target, err)
}

func (s *session) read(line string) (Place, error) {
	if busy, isBusy := parseBusy(line); isBusy {
		busy.Target = s.target
		return Place{}, busy
	}
	return parsePlace(line), nil
}

func (s *session) Renew(ctx context.Context) (Place, error) {
	go func() { _, _ = s.beat.Write([]byte("where\n")) }() // ends with the session
	return s.answer(ctx)
}

// Release has the script tidy up, as it does at the end of its input.
func (s *session) Release() {
	s.beat.Close()
	select {
	case <-s.ended:
	case <-time.After(time.Second):
	}
	s.cancel()
}

// parsePlace reads "held GENERATION SYSTEM".
func parsePlace(line string) Place {
	fields := append(strings.Fields(line), "", "")
	return Place{Generation: generationNumber(fields[1]), System: fields[2]}
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

// parseClaim reads "NOW SINCE BEAT RUN OWNER", in seconds; one that is over, or none,
// is nil.
func parseClaim(text string) *BusyError {
	fields := strings.SplitN(text, " ", 5)
	if len(fields) != 5 {
		return nil
	}
	var times [3]time.Duration
	for i := range times {
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			return nil
		}
		times[i] = time.Duration(n) * time.Second
	}
	now, since, beat := times[0], times[1], times[2]
	if now-beat >= leaseTime {
		return nil
	}
	return &BusyError{Owner: fields[4], Age: now - since, Run: fields[3]}
}
