package ssh

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Dialer reaches the hosts of one run, which share what need not be done twice:
// a person is asked for each secret once. The zero value is ready to use; it
// must not be copied.
type Dialer struct {
	// Ask asks a person for a secret that is not shown. It is never called
	// twice at once. Nil: there is nobody to ask.
	Ask func(ctx context.Context, question string) (string, error)
	// StateDir is a folder to remember in which address a host answered at.
	// Empty: nothing is remembered.
	StateDir string

	stagger time.Duration // zero: as usual

	swept sync.Once // of sockets that were left

	once   sync.Once
	asking turn // one question at a time
	sudo   password

	mu    sync.Mutex
	locks map[string]*keyFileLock // by the path of the key
	hops  map[string]*hop         // by configuration and target
}

// Dial reaches a host on its own, with nobody to ask for secrets.
func Dial(ctx context.Context, cfg Config) (*Conn, error) {
	return new(Dialer).Dial(ctx, cfg)
}

// Dial reaches the host, checks its key and authenticates. It is the only
// handshake that a host sees from us: everything else shares the connection.
func (d *Dialer) Dial(ctx context.Context, cfg Config) (*Conn, error) {
	cfg = cfg.withDefaults()
	conn, waited, err := d.race(ctx, cfg)
	if waited && isCut(err) && ctx.Err() == nil {
		// The host may have lost patience while somebody typed a passphrase, which
		// is known now.
		conn, _, err = d.race(ctx, cfg)
	}
	return conn, err
}

var errNobodyToAsk = errors.New("there is nobody to ask")

func (d *Dialer) ask(ctx context.Context, question string) (string, error) {
	if d.Ask == nil {
		return "", errNobodyToAsk
	}
	d.once.Do(func() { d.asking = newTurn() })
	if err := d.asking.take(ctx); err != nil {
		return "", err
	}
	defer d.asking.give()
	return d.Ask(ctx, question)
}
