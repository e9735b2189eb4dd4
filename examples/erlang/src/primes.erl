%% Stages in Erlang: one counts, one lets primes pass, one prints them.
%%
%%     mix deps.get && mix run -e ":primes.main()"          in examples/erlang
%%
%% A stage is a module with callbacks, as a gen_server is one. Penstock's modules have Elixir names, which Erlang
%% writes in quotes. The three stages here share one module: what init/1 returns says what each of them is.

-module(primes).
-behaviour('Elixir.Penstock.Stage').
-export([main/0]).
-export([init/1, handle_demand/2, handle_events/3]).

-define(STAGE, 'Elixir.Penstock.Stage').

main() ->
    {ok, Counter} = ?STAGE:start_link(?MODULE, {counter, 2}, []),
    {ok, Sieve} = ?STAGE:start_link(?MODULE, sieve, []),
    {ok, Printer} = ?STAGE:start_link(?MODULE, {printer, 10}, []),
    Done = erlang:monitor(process, Printer),

    %% From the end to the beginning: the printer's demand is what sets the others to work.
    {ok, _} = ?STAGE:sync_subscribe(Sieve, [{to, Counter}, {max_demand, 10}]),
    {ok, _} = ?STAGE:sync_subscribe(Printer, [{to, Sieve}, {max_demand, 4}]),

    receive
        {'DOWN', Done, process, Printer, normal} -> io:format("these were the first ten~n")
    end,
    ?STAGE:stop(Sieve),
    ?STAGE:stop(Counter).

init({counter, First}) -> {producer, {counter, First}};
init(sieve) -> {producer_consumer, sieve};
init({printer, Left}) -> {consumer, {printer, Left}}.

%% The producer is asked for so many events: it returns them, and its new state.
handle_demand(Demand, {counter, Next}) ->
    {noreply, lists:seq(Next, Next + Demand - 1), {counter, Next + Demand}}.

%% What the producer_consumer returns goes on to its consumers, more events than it got or fewer.
handle_events(Numbers, _From, sieve) ->
    {noreply, lists:filter(fun is_prime/1, Numbers), sieve};
%% A consumer returns no events. This one stops when it has printed enough.
handle_events(Primes, _From, {printer, Left}) ->
    [io:format("~b~n", [Prime]) || Prime <- lists:sublist(Primes, Left)],
    case Left - length(Primes) of
        More when More > 0 -> {noreply, [], {printer, More}};
        _ -> {stop, normal, {printer, 0}}
    end.

is_prime(N) -> lists:all(fun(D) -> N rem D =/= 0 end, lists:seq(2, trunc(math:sqrt(N)))).
