package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"baleen/internal/plan"
)

func newPlanCompare() *cobra.Command {
	r := planRun{in: 4096, out: 1024}
	cmd := &cobra.Command{
		Use:   "compare MODEL HARDWARE HARDWARE...",
		Short: "Set machines side by side, with the price of not having the fastest",
		Long: `Compare plans the same request on each machine, and says what it costs not to have the fastest of them: the time that each token takes
longer, and how many devices, watts and dollars as many tokens a second need. Flags are those of 'baleen plan'.`,
		Example: `  baleen plan compare v4-pro "16 x Ascend 950DT" "8 x B200" --concurrency 64
  baleen plan compare v4-flash "8 x H20-3e" "8 x MI355X" "2 x EPYC 9755" --html compare.html`,
		Args:              arguments(1, 9),
		ValidArgsFunction: completePlanned,
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.compare(cmd, args[0], append(args[1:], r.on...))
		},
	}
	r.flags(cmd)
	cmd.Flags().StringArrayVar(&r.on, "on", nil, "hardware, once for each machine, as the arguments")
	return cmd
}

// mostCompared is how many machines are set side by side.
const mostCompared = 8

func (r *planRun) compare(cmd *cobra.Command, model string, machines []string) error {
	if len(machines) < 2 || len(machines) > mostCompared {
		return misuse("wrong number of machines", fmt.Sprintf("%d given", len(machines)), fmt.Sprintf("name 2 to %d; %s", mostCompared, seeHelp(cmd)))
	}
	if err := r.clash(nil); err != nil {
		return err
	}
	table, err := r.table()
	if err != nil {
		return err
	}
	shape, err := findShape(model)
	if err != nil {
		return err
	}
	var plans []*plan.Plan
	for _, text := range machines {
		p, err := r.planOn(cmd, shape, table, text)
		if err != nil {
			return err
		}
		plans = append(plans, p)
	}
	if err := r.page(plans); err != nil {
		return err
	}
	return r.write(cmd, plan.Compare(plans))
}

func (r *planRun) planOn(cmd *cobra.Command, shape *plan.Shape, table *plan.Table, text string) (*plan.Plan, error) {
	machine, err := table.Machine(text)
	if err != nil {
		return nil, usageError{err}
	}
	return r.plan(cmd, shape, machine)
}

// completePlanned completes the names of models that a plan knows.
func completePlanned(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"v4-flash", "v4-pro", "v4-flash-0731", "v4-pro-0813", "v4.1-flash", "v3", "v3.2"}, cobra.ShellCompDirectiveDefault
}
