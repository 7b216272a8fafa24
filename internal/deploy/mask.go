package deploy

import (
	"sync"

	"github.com/crs58/fleet/internal/secrets"
)

// mask hides the secrets that this run has decrypted for machines, in what is
// printed on them: no secret is in an event, a log or a message.
type mask struct {
	mu     sync.Mutex
	values map[string][][]byte // by machine
}

// hide takes note of a secret of a machine.
func (m *mask) hide(machine string, value []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values == nil {
		m.values = map[string][][]byte{}
	}
	m.values[machine] = append(m.values[machine], value)
}

func (m *mask) text(machine, text string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.values[machine]) == 0 || text == "" {
		return text
	}
	return string(secrets.Mask([]byte(text), m.values[machine]...))
}
