"""motionkit: several motion-transfer methods behind one contract."""
