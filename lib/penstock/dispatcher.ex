defmodule Penstock.Dispatcher do
  @moduledoc """
  What decides which consumer of a producer gets which events.

  A producer names its dispatcher when it starts, as a module or as a module and its options:

      {:producer, state, dispatcher: Penstock.DemandDispatcher}
      {:producer, state, dispatcher: {Penstock.DemandDispatcher, max_demand: 100}}

  `GenStage.DemandDispatcher` is understood as `Penstock.DemandDispatcher`, so that a program that is
  moved over from GenStage need not name another one.

  A dispatcher module only describes itself; the counting is done by the native core.
  """

  @typedoc "What the native core is told: which dispatcher, and its options."
  @type config :: {:demand, max_demand :: pos_integer | nil, shuffle? :: boolean}

  @doc "Checks the dispatcher's own options and describes the dispatcher."
  @callback configure(options :: keyword) :: {:ok, config} | {:error, message :: String.t()}

  @doc """
  Describes the dispatcher that a `:dispatcher` option names, or says what is wrong with the option.
  """
  @spec configure(module | {module, keyword}) :: {:ok, config} | {:error, message :: String.t()}
  def configure(GenStage.DemandDispatcher), do: configure({Penstock.DemandDispatcher, []})
  def configure({GenStage.DemandDispatcher, options}), do: configure({Penstock.DemandDispatcher, options})
  def configure(module) when is_atom(module) and module not in [nil, true, false], do: configure({module, []})

  def configure({module, options} = dispatcher) when is_atom(module) and is_list(options) do
    cond do
      not Keyword.keyword?(options) -> unexpected(dispatcher)
      Code.ensure_loaded?(module) and function_exported?(module, :configure, 1) -> module.configure(options)
      true -> {:error, "expected :dispatcher to be Penstock.DemandDispatcher, got: #{inspect(dispatcher)}"}
    end
  end

  def configure(other), do: unexpected(other)

  defp unexpected(other),
    do: {:error, "expected :dispatcher to be an atom or a {atom, list}, got: #{inspect(other)}"}
end
