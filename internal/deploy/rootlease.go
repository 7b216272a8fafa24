package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// rootLease is the file that says who has the folder. Its lock ends with the
// process that took it and with the activation that this has begun.
const rootLease = rootRunDir + "/lease"

func (t *rootTarget) Claim(ctx context.Context, _, owner, _ string) (Lease, error) {
	if t.claims > 0 {
		t.claims++
		return &rootClaim{t}, nil
	}
	if err := t.prepare(ctx); err != nil {
		return nil, err
	}
	lock, err := t.lease()
	if err == nil {
		err = lock.Truncate(0)
	}
	if err == nil {
		_, err = lock.WriteAt([]byte(owner+"\n"), 0)
	}
	if err != nil {
		if lock != nil {
			lock.Close()
		}
		if busy := (*BusyError)(nil); errors.As(err, &busy) {
			return nil, err
		}
		return nil, fmt.Errorf("claim %s for this run: %w", t, err)
	}
	t.claims, t.claim = 1, lock
	return &rootClaim{t}, nil
}

// rootClaim is one claim of a folder.
type rootClaim struct{ t *rootTarget }

// Renew has nothing to do for the claim: nobody else can take it.
func (c *rootClaim) Renew(ctx context.Context) (Place, error) {
	facts, err := c.t.Inspect(ctx, "", "")
	return facts.place(), err
}

// Release gives one claim back, and the folder with the last.
func (c *rootClaim) Release() {
	t := c.t
	if t.claims--; t.claims == 0 {
		_ = t.root.Remove(rel(rootLease))
		_ = t.claim.Close()
	}
}

// lease locks the file; one that its last owner has removed meanwhile does not
// count. Whoever only looks at a lease has it locked for a moment.
func (t *rootTarget) lease() (*os.File, error) {
	for looks := 3; ; {
		lock, err := t.root.OpenFile(rel(rootLease), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		info, err := lock.Stat()
		if err != nil {
			return lock, err
		}
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) && looks > 0 {
			looks--
			lock.Close()
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if errors.Is(err, unix.EWOULDBLOCK) {
			return lock, t.holder(lock, info)
		}
		if err != nil {
			return lock, err
		}
		if now, err := t.root.Stat(rel(rootLease)); err == nil && os.SameFile(info, now) {
			return lock, nil
		}
		lock.Close()
	}
}

// claimed tells who else has the folder; nil where nobody has.
func (t *rootTarget) claimed() *BusyError {
	if t.claims > 0 || t.root == nil {
		return nil
	}
	lock, err := t.root.Open(rel(rootLease))
	if err != nil {
		return nil
	}
	defer lock.Close() // which gives the lock back
	info, err := lock.Stat()
	if err != nil || !errors.Is(unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK) {
		return nil
	}
	return t.holder(lock, info)
}

// holder reads a lease that is locked.
func (t *rootTarget) holder(lease *os.File, info os.FileInfo) *BusyError {
	owner, _ := io.ReadAll(lease)
	return &BusyError{Target: t.String(), Owner: strings.TrimSpace(string(owner)), Age: time.Since(info.ModTime()).Truncate(time.Second)}
}
