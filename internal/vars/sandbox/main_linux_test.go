package sandbox

import (
	"os"
	"strings"
	"testing"
)

// TestMain lets this test binary stand for another process.
func TestMain(m *testing.M) {
	if order, ok := os.LookupEnv(sandboxVar); ok {
		memory, script, _ := strings.Cut(order, ":")
		runAndPrint(memory, script)
		os.Exit(0)
	}
	os.Exit(m.Run())
}
