package ssh

import (
	"context"
	"errors"
	"sync"
)

// Dialer reaches the hosts of one run, which share what need not be done twice:
// a person is asked for each secret once. The zero value is ready to use; it
// must not be copied.
type Dialer struct {
	// Ask asks a person for a secret that is not shown. It is never called
	// twice at once. Nil: there is nobody to ask.
	Ask func(ctx context.Context, question string) (string, error)

	once   sync.Once
	asking turn // one question at a time
	sudo   password

	mu    sync.Mutex
	locks map[string]*keyFileLock // by the path of the key
	hops  map[string]*hop         // by configuration and target
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
