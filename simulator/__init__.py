"""The sandbox: payment channels that lie on purpose, repeatably, with an answer key.

It shares no code with the rest of Paydesk, so that it cannot share its bugs. The one class to use is
`simulator.world.World`; its other modules are

    words     what a sandbox channel says          profiles  what a channel is like
    faults    what goes wrong, and when            triggers  amounts and payers that choose an outcome
    draws     chance without sequence              clock     virtual time and timers
    codec     signatures, requests, envelopes      records   attempts and refunds
    book      one channel's state, by events       ledger    the events on disk
    channel   how one channel answers              outbox    answers that come later
    announcer which callbacks are told             callbacks how they are posted
    voice     how they are written and signed      wire      the real channels' HTTP
    sides     mandates, payouts, splits            bills     a day's statement
"""
