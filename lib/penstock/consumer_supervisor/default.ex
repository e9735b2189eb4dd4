defmodule Penstock.ConsumerSupervisor.Default do
  @moduledoc false
  # The module of a supervisor that was started with its children instead of a module.

  @behaviour Penstock.ConsumerSupervisor

  @impl Penstock.ConsumerSupervisor
  def init(children_and_options), do: children_and_options
end
