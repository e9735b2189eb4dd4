defmodule Penstock.HostProject do
  @moduledoc "The files of a mix project that depends on Penstock, and on nothing else."

  @spec files(keyword) :: [{Path.t(), String.t()}]
  def files(dependency),
    do: [{"mix.exs", mix(dependency)}, {"lib/host.ex", elixir()}, {"src/host.erl", erlang()}]

  defp mix(dependency) do
    """
    defmodule Host.MixProject do
      use Mix.Project

      def project, do: [app: :host, version: "1.0.0", deps: [{:penstock, #{inspect(dependency)}}]]
      def application, do: [extra_applications: [:logger]]
    end
    """
  end

  defp elixir do
    """
    defmodule Host do
      def main, do: IO.puts("from Elixir: \#{call()}, from Erlang: \#{:host.call()}")

      def answer do
        case IO.gets("") do
          "go\\n" ->
            IO.puts(call())
            answer()

          _ ->
            :ok
        end
      end

      defp call do
        {:ok, server} = Penstock.EventStore.Server.start_link(port: 0, data_dir: :memory)
        true = Penstock.EventStore.Server.port(server) > 0
        Penstock.EventStore.Server.stop(server)
      end
    end
    """
  end

  defp erlang do
    """
    -module(host).
    -export([call/0]).

    call() ->
        {ok, Server} = 'Elixir.Penstock.EventStore.Server':start_link([{port, 0}, {data_dir, memory}]),
        true = 'Elixir.Penstock.EventStore.Server':port(Server) > 0,
        'Elixir.Penstock.EventStore.Server':stop(Server).
    """
  end
end
