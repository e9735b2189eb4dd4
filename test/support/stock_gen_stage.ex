defmodule Penstock.StockGenStage do
  @moduledoc false
  # The gen_stage library, for the tests of stages that run beside it; it is no dependency. `GEN_STAGE_PATH`
  # names a checkout of it.

  # The tags of tests that have to be left out.
  def excluded_tags do
    case System.get_env("GEN_STAGE_PATH") do
      unset when unset in [nil, ""] ->
        IO.puts("Tests beside the gen_stage library are left out: GEN_STAGE_PATH names no checkout of it")
        [:gen_stage]

      path ->
        load(path)
        []
    end
  end

  defp load(path) do
    case Path.wildcard(Path.join(path, "lib/**/*.ex")) do
      [] ->
        raise ArgumentError, "expected GEN_STAGE_PATH to name a checkout of gen_stage, got: #{inspect(path)}"

      files ->
        {:ok, _modules, _warnings} = Kernel.ParallelCompiler.compile(files)
    end

    Code.ensure_loaded?(GenStage) || raise ArgumentError, "there is no GenStage in #{path}"
  end
end
