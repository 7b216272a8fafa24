package deploy

import (
	"fmt"
	"strings"
)

// maxOutput is how much one of our scripts may print: a machine that prints
// without end must not fill the memory here.
const maxOutput = 32 << 20

// limitedText keeps what is written to it, up to maxOutput.
type limitedText struct{ text strings.Builder }

func (t *limitedText) Write(p []byte) (int, error) {
	if t.text.Len()+len(p) > maxOutput {
		return 0, fmt.Errorf("it prints more than %d MiB", maxOutput>>20)
	}
	return t.text.Write(p)
}

func (t *limitedText) String() string { return t.text.String() }
