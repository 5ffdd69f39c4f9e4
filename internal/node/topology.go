package node

import (
	"fmt"
	"io"
	"os"

	"shoal/internal/topology"
)

// ConfigError says that a file the operator wrote cannot be used.
type ConfigError struct {
	File string
	Err  error
}

func (e *ConfigError) Error() string { return fmt.Sprintf("configuration file %s: %v", e.File, e.Err) }

// Unwrap is the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// LoadTopology reads and checks a topology file.
func LoadTopology(name string) (*topology.Map, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read topology: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, topology.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read topology: %w", err)
	}
	m, err := topology.Parse(data)
	if err != nil {
		return nil, &ConfigError{name, err}
	}
	return m, nil
}
