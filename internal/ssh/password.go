package ssh

import (
	"context"
	"errors"
	"sync"
)

// password is a secret that a person types once for many hosts. It stays in
// memory. The first host that accepts it settles it; until then, hosts wait for
// their turn, so that a mistyped one is not sent to all of them. The zero value
// is ready to use.
type password struct {
	once sync.Once
	turn turn

	text     string // as typed; empty: not yet
	accepted bool   // by a host
	rejected int    // how often it was mistyped
	failed   error  // no use in asking again
}

var errWrongPassword = errors.New("wrong password")

// attempts is how often a person may mistype, as with sudo itself.
const attempts = 3

// unlock gives the password, the answer to question, once try accepts it. A try that fails with
// errWrongPassword is repeated with another answer, unless another host accepted
// this one.
func (p *password) unlock(ctx context.Context, question string, ask func(context.Context, string) (string, error), try func(string) error) (string, error) {
	p.once.Do(func() { p.turn = newTurn() })
	if err := p.turn.take(ctx); err != nil {
		return "", err
	}
	settled := p.accepted
	if settled || p.failed != nil {
		text, err := p.text, p.failed
		p.turn.give()
		if err == nil {
			err = try(text)
		}
		return text, err
	}
	defer p.turn.give()
	for {
		if p.text == "" {
			if p.rejected == 1 {
				question = "that was not it; " + question
			}
			text, err := ask(ctx, question)
			if err == nil && text == "" {
				err = errors.New("no password was given")
			}
			if err != nil {
				if ctx.Err() == nil {
					p.failed = err
				}
				return "", err
			}
			p.text = text
		}
		err := try(p.text)
		switch {
		case err == nil:
			p.accepted = true
			return p.text, nil
		case !errors.Is(err, errWrongPassword):
			return "", err // the next host may tell whether it is the right one
		}
		p.text = ""
		if p.rejected++; p.rejected == attempts {
			p.failed = err
			return "", err
		}
	}
}
